"""What a deployment has around its pipeline: endpoints, middleware, hooks, a front end."""
