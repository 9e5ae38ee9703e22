"""`/login`: the page that takes the token and gives the browser a cookie, when the server has a token."""

from __future__ import annotations

import asyncio
import html
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dashboard.api import plain_page
from dashboard.api.border import read_body, services
from dashboard.security import COOKIE, equal, local_path, session_value

router = APIRouter(include_in_schema=False)

WRONG_TOKEN_SECONDS = 0.5
"""A guess costs the guesser time, and the server none: it only waits."""
SESSION_SECONDS = 30 * 24 * 3600


@router.get("/login")
async def get_login(request: Request) -> Response:
    """The form; straight on when the server asks for no token."""
    target = local_path(request.query_params.get("next", "/"))
    return _form(target) if services(request).settings.token else RedirectResponse(target, 303)


@router.post("/login")
async def post_login(request: Request) -> Response:
    """Check the token, set the cookie, go on to where the reader wanted to be."""
    form = parse_qs((await read_body(request, 4096)).decode("utf-8", "replace"))
    target = local_path(form.get("next", ["/"])[0])
    token = services(request).settings.token
    if token is None:
        return RedirectResponse(target, 303)
    if not equal(form.get("token", [""])[0].strip(), token):
        await asyncio.sleep(WRONG_TOKEN_SECONDS)
        return _form(
            target,
            "That is not this server's token. It is the value of RUNWELL_TOKEN that the server was started with.",
        )
    answer = RedirectResponse(target, 303)
    answer.set_cookie(
        COOKIE,
        session_value(token),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


def _form(target: str, wrong: str = "") -> Response:
    said = f'<p class="wrong" role="alert">{html.escape(wrong)}</p>' if wrong else ""
    body = f"""<main class="narrow"><h1>Sign in to Runwell</h1>
<p>This server asks for its token, so that only you see and steer its runs.</p>{said}
<form method="post" action="/login">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" autofocus required>
<input type="hidden" name="next" value="{html.escape(quote(target, safe="/?&=%:,+-._~"))}">
<button>Sign in</button></form></main>"""
    return HTMLResponse(plain_page.render("Sign in", body), 401 if wrong else 200)
