"""The work of the HTTP comparison: three steps around a small scikit-learn model.

FastAPI imports this module; for Warmcell its text runs as a notebook cell. Both call the very same
functions, so the difference between them is the serving.
"""

import numpy as np
from pydantic import BaseModel
from sklearn.linear_model import LogisticRegression


class Customer(BaseModel):
    age: int
    tenure: int
    balance: float
    products: int
    active: bool = True


def train() -> LogisticRegression:
    random = np.random.default_rng(0)
    table = random.normal(size=(2000, 8))
    return LogisticRegression().fit(table, table[:, 0] + table[:, 3] > 0)


model = train()


def features(customer: Customer) -> np.ndarray:
    return np.array(
        [
            [
                customer.age / 50.0 - 1.0,
                customer.tenure / 60.0,
                np.log1p(customer.balance),
                customer.products,
                float(customer.active),
                customer.balance / (1.0 + customer.tenure),
                customer.age * customer.products / 100.0,
                1.0,
            ]
        ]
    )


def score(table: np.ndarray) -> float:
    return float(model.predict_proba(table)[0, 1])


def respond(probability: float) -> dict:
    return {"churn": probability > 0.5, "probability": round(probability, 4)}
