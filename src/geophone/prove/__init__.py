"""The proving ground: does the instrument point at the right moment? Runs whose events are clocked without it."""
