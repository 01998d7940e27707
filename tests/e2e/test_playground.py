"""The playground and the rendered document in a real browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

CELLS = """
from typing import Annotated, Literal

import matplotlib.pyplot as plt
import pydantic
from matplotlib.figure import Figure
from warmcell import pipeline, step

class Address(pydantic.BaseModel):
    street: str
    zip: str = pydantic.Field(pattern="^[0-9]{5}$", description="Five digits.")

class Customer(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(30, ge=0, le=150)
    address: Address | None = None
    parent: "Customer | None" = None

@step
def look(customer: Customer) -> dict:
    return customer.model_dump()

@step
def judge(found: dict, mood: str, tags: list[str], big: int) -> Annotated[dict, "verdict"]:
    return {"text": f"{found['name']} is {mood}", "tags": tags, "big": big}

@pipeline
def judged(
    customer: Customer,
    mood: Literal["glad", "sad"] = "glad",
    tags: list[str] = ["<b>bold</b>"],
    big: int = 12345678901234567890,
    anything: dict | None = None,
) -> dict:
    return judge(look(customer), mood, tags, big)

@step
def boom(secret: pydantic.SecretStr) -> str:
    raise ValueError("<i>no</i>")

@pipeline
def broken(secret: pydantic.SecretStr) -> str:
    return boom(secret)

@step
def count(n: int) -> list:
    for number in range(n):
        print("at", number)
        yield number

@pipeline
def counting(n: int) -> list:
    return count(n)

@step
def draw(n: int) -> Figure:
    figure, axes = plt.subplots()
    axes.plot(range(n))
    return figure

@pipeline
def drawing(n: int) -> Figure:
    return draw(n)

drawing.deploy("drawing")
judged.deploy("judged")
broken.deploy("broken")
counting.deploy("counting")
"""


@pytest.fixture(scope="module", autouse=True)
def author(kernel: Kernel) -> Kernel:
    """The kernel that serves the deployments of CELLS."""
    kernel.run(CELLS)
    return kernel


@pytest.fixture
def open_page(jupyter_server: JupyterServer, page: Any) -> Iterator[Callable[[str], Any]]:
    """Open a page below ``warmcell/`` as somebody who has logged in. Nothing on it may fail."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console", lambda message: complaints.append(message.text) if _is_policy(message) else None
    )

    def show(path: str) -> Any:
        # Jupyter sets its login cookie there: from then on the page has no token.
        page.goto(f"{jupyter_server.url}api/status?token={jupyter_server.token}")
        page.goto(f"{jupyter_server.url}warmcell/{path}")
        return page

    yield show
    assert complaints == []


def _is_policy(message: Any) -> bool:
    return "Content Security Policy" in message.text or "Content-Security-Policy" in message.text


def run(page: Any) -> Any:
    """Press the button and wait for the end; returns the answer."""
    button = page.get_by_role("button", name="Run", exact=True)
    button.click()
    page.locator("button.primary:not([disabled])").wait_for()
    return page.locator(".answer")


def outputs(answer: Any) -> Any:
    """The one output that is shown."""
    return json.loads(answer.locator(".outputs pre").inner_text())


def test_filling_in_the_form(open_page: Callable[[str], Any]) -> None:
    """A nested object, an enum, a list and a large integer are filled in and sent as they are; the
    answer shows the outputs, the time here and there, and that of each step."""
    page = open_page("judged/")
    page.get_by_label("name", exact=True).fill("Ada")
    page.get_by_label("Send address").check()
    page.locator(".property", has=page.get_by_label("Send address")).get_by_role(
        "combobox"
    ).first.select_option("Address")
    page.get_by_label("street").fill("Main")
    page.get_by_label("zip").fill("12345")
    mood = page.locator(".property", has=page.get_by_label("Send mood")).last
    mood.get_by_role("combobox").select_option("sad")
    tags = page.locator(".property", has=page.get_by_label("Send tags")).last
    tags.get_by_role("button", name="+ Add").click()
    tags.locator("textarea").last.fill("second")
    answer = run(page)
    assert outputs(answer) == {
        "text": "Ada is sad",
        "tags": ["<b>bold</b>", "second"],
        "big": 12345678901234567890,
    }
    assert answer.locator(".head strong").inner_text() == "200"
    assert "ms here" in answer.inner_text()
    names = answer.locator(".times th").all_inner_texts()
    assert "look" in names
    assert "judge" in names
    assert page.locator("b").count() == 0, "what users wrote stays text"


def test_errors_stand_at_their_fields(open_page: Callable[[str], Any]) -> None:
    """What the server says of a nested value stands below its field; a text in the place of a
    number is not even sent."""
    page = open_page("judged/")
    page.get_by_label("name", exact=True).fill("Ada")
    page.get_by_label("Send age").check()
    page.get_by_label("age", exact=True).fill("1e")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("This takes a whole number.").wait_for()
    page.get_by_label("age", exact=True).fill("200")
    answer = run(page)
    assert answer.locator(".head strong").inner_text() == "422"
    age = page.locator(".leaf", has=page.get_by_label("age", exact=True))
    assert "less than or equal to 150" in age.locator(".wrong").inner_text()


def test_a_step_that_raises(open_page: Callable[[str], Any]) -> None:
    """The problem is shown as text, and a secret is not shown in the code to copy."""
    page = open_page("broken/")
    secret = page.get_by_label("secret", exact=True)
    assert secret.get_attribute("type") == "password"
    secret.fill("hush-hush")
    answer = run(page)
    assert answer.locator(".head strong").inner_text() == "500"
    assert "<i>no</i>" in answer.locator(".problem").inner_text()
    assert "hush-hush" not in page.locator("body").inner_text()
    assert "<secret>" in page.locator(".wide pre").inner_text()


def test_json_and_examples(open_page: Callable[[str], Any], jupyter_server: JupyterServer) -> None:
    """Parameters can be written as JSON, and taken from a recorded run."""
    given = {"customer": {"name": "Grace", "address": {"street": "Sea", "zip": "00001"}}}
    assert jupyter_server.invoke("judged", given).status == 200
    page = open_page("judged/")
    page.get_by_label("Example").select_option(index=1)
    assert page.get_by_label("name", exact=True).input_value() == "Grace"
    assert page.get_by_label("street").input_value() == "Sea"
    page.get_by_role("button", name="JSON", exact=True).click()
    text = page.get_by_label("Parameters as JSON")
    assert json.loads(text.input_value())["customer"]["address"]["zip"] == "00001"
    text.fill('{"customer": {"name": "Edsger"}, "big": 98765432109876543210}')
    assert outputs(run(page))["big"] == 98765432109876543210
    page.get_by_role("button", name="Form", exact=True).click()
    assert page.get_by_label("name", exact=True).input_value() == "Edsger"
    assert page.get_by_label("big", exact=True).input_value() == "98765432109876543210"


def test_not_waiting(open_page: Callable[[str], Any]) -> None:
    """An asynchronous call shows the run until it has ended, then its outputs and steps."""
    page = open_page("judged/")
    page.get_by_label("name", exact=True).fill("Ada")
    page.get_by_label("How to call").select_option("async")
    answer = run(page)
    assert answer.locator(".head strong").inner_text() == "202"
    assert answer.locator(".state").inner_text() == "succeeded"
    assert outputs(answer)["text"] == "Ada is glad"
    assert answer.locator(".times th").all_inner_texts() == ["look", "judge"]


def test_streaming(open_page: Callable[[str], Any]) -> None:
    """A streamed call shows states, steps, logs and what a step yields, then the outputs."""
    page = open_page("counting/")
    page.get_by_label("n", exact=True).fill("3")
    page.get_by_label("How to call").select_option("stream")
    answer = run(page)
    kinds = answer.locator(".events .kind").all_inner_texts()
    assert {"run", "step", "log", "output"} <= set(kinds)
    texts = answer.locator(".events li.output .text").all_inner_texts()
    assert texts == ["count: 0", "count: 1", "count: 2"]
    assert answer.locator(".head strong").inner_text() == "200"
    assert outputs(answer) == [0, 1, 2]


@pytest.mark.parametrize(
    ("language", "mode"),
    [("curl", "wait"), ("curl", "stream"), ("Python", "wait"), ("Python", "async")],
)
def test_the_call_as_code(
    open_page: Callable[[str], Any], jupyter_server: JupyterServer, language: str, mode: str
) -> None:
    """The code that is shown makes the call, quotes and all."""
    page = open_page("judged/")
    page.get_by_label("name", exact=True).fill('Ada\'s \\ "best" ünï')
    page.get_by_label("How to call").select_option(mode)
    page.get_by_role("button", name=language, exact=True).click()
    code = page.locator(".wide pre").inner_text()
    if language == "curl" and not shutil.which("curl"):
        pytest.skip("no curl")
    command = [sys.executable, "-c", code] if language == "Python" else ["sh", "-c", code]
    environment = {**os.environ, "WARMCELL_KEY": jupyter_server.token}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = "warmcell/judged/runs/" if mode == "async" else "ünï is glad"
    assert expected in done.stdout


def test_the_javascript(open_page: Callable[[str], Any], jupyter_server: JupyterServer) -> None:
    """The JavaScript that is shown makes the call too."""
    page = open_page("judged/")
    page.get_by_label("name", exact=True).fill("Ada's `best`")
    page.get_by_role("button", name="JavaScript", exact=True).click()
    code = page.locator(".wide pre").inner_text()
    page.evaluate("key => { globalThis.key = key; }", jupyter_server.token)
    with page.expect_console_message() as said:
        page.evaluate(f"async () => {{ {code} }}")
    assert said.value.args[0].json_value()["verdict"]["text"] == "Ada's `best` is glad"


def test_a_figure(open_page: Callable[[str], Any]) -> None:
    """A figure among the outputs is shown."""
    page = open_page("drawing/")
    page.get_by_label("n", exact=True).fill("5")
    image = run(page).locator(".outputs img")
    page.wait_for_function("image => image.naturalWidth > 100", arg=image.element_handle())


def test_calling_with_a_key(open_page: Callable[[str], Any], jupyter_server: JupyterServer) -> None:
    """A key can be tried instead of the login."""
    path = "warmcell/api/v1/deployments/judged/keys"
    key = jupyter_server.post(path, {"name": "tried", "scopes": ["invoke"]}).json()["key"]
    page = open_page("judged/")
    page.get_by_label("name", exact=True).fill("Ada")
    page.get_by_label("Key", exact=True).fill(key[:-3] + "abc")
    assert run(page).locator(".head strong").inner_text() == "401"
    page.get_by_label("Key", exact=True).fill(key)
    assert outputs(run(page))["text"] == "Ada is glad"
    assert key not in page.locator("body").inner_text()
    last = jupyter_server.get("warmcell/judged/runs?limit=1").json()["runs"][0]
    assert last["user"] == "key:tried"


def test_a_token_in_the_address(jupyter_server: JupyterServer, page: Any) -> None:
    """Whoever comes with a token in the address and without a login can call, too."""
    page.goto(f"{jupyter_server.url}warmcell/judged/?token={jupyter_server.token}")
    page.get_by_label("name", exact=True).fill("Ada")
    assert outputs(run(page))["text"] == "Ada is glad"


def test_the_document(open_page: Callable[[str], Any]) -> None:
    """The rendered document leads from an operation to its schemas."""
    page = open_page("judged/docs")
    page.locator("nav a", has_text="/invoke").click()
    page.locator("#op-invoke").get_by_role("link", name="Invocation").first.click()
    assert page.url.endswith("#schema-Invocation")
    assert "Five digits." in page.locator("main").text_content()
