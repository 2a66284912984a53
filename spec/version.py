"""The one place that says which gradloom this is."""

VERSION = "0.1.0"
