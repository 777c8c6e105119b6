"""HTTP: requests in, answers out. All rules live below; here they meet Starlette."""
