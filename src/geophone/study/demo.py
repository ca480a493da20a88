"""The study that `geophone demo` runs."""

DEMO = """\
# A small study of real digits: an MLP, a CNN and a transformer. `geophone demo` runs the same.
name = "geophone-demo"
networks = ["mlp_4_mnist", "cnn_4_mnist", "vit_2_mnist"]
steps = 2000

[schedule]
every = 5

[dig]
units = 10
steps = 256
"""
