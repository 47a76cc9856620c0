"""Scripts that write golden files need Keras itself, so they are no tests and are not imported as such."""

collect_ignore_glob = ["*/make_*.py", "*/*/make_*.py"]
