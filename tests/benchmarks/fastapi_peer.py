"""The peer: FastAPI with a plain ``def`` handler, as most users write it. It records nothing."""

from fastapi import FastAPI

from tests.benchmarks.work import Customer, features, respond, score

app = FastAPI()


@app.post("/churn")
def churn(customer: Customer) -> dict:
    return respond(score(features(customer)))
