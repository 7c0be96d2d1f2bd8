"""The theory's statements, each checked on a sweep with a number, an interval and a verdict. No drawing."""
