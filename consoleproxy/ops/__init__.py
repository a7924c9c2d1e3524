"""What operators see: metrics, logs, the operators' port, and the files of the pages.

``metrics``  the one list of metrics
``samples``  the metrics of several processes as one
``logs``     how log lines look
``routes``   the operators' port: /metrics, /livez, /readyz
``pages``    the page's and noVNC's files, with the headers that keep a browser strict
``process``  a program that serves until it is asked to stop
``certs``    certificates for development, also for the demo
"""
