"""The study that `geophone demo` runs."""

DEMO = """\
# A transformer that learns to copy; an MLP, a CNN and a vision transformer on handwritten digits. `geophone demo` runs
# the same.
name = "geophone-demo"
networks = ["attention_2_repeats", "mlp_4_mnist", "cnn_4_mnist", "vit_2_mnist"]
steps = 1000

[schedule]
every = 5

[dig]
units = 10
steps = 256
"""
