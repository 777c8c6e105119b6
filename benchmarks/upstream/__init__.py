"""The gateway behind nginx, by the printed configurations, against nginx without a gateway."""
