"""The frame of the two pages that are not Dash's: sign-in and the API's reference. One text, no network, both themes."""

from __future__ import annotations

import html

STYLE = """
:root{color-scheme:light dark;--ink:#1a1d23;--soft:#5c6470;--line:#dfe3e8;--page:#f7f8fa;--card:#fff;--accent:#2f6fed;--bad:#b42318}
@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#9aa3af;--line:#2c313a;--page:#14161a;--card:#1b1e24;--accent:#7aa5ff;--bad:#ff9d90}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2.5rem 1.25rem 5rem}main.narrow{max-width:24rem;margin-top:8vh;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:2rem}
h1{font-size:1.6rem;margin:0 0 .5rem;letter-spacing:-.01em}h2{font-size:1.05rem;margin:2.5rem 0 .75rem;color:var(--soft);text-transform:capitalize}p{margin:.25rem 0 1rem;color:var(--soft)}
a{color:var(--accent)}code,.path{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.92em;overflow-wrap:anywhere}
details{background:var(--card);border:1px solid var(--line);border-radius:10px;margin:.5rem 0;padding:.7rem 1rem}summary{cursor:pointer;display:flex;gap:.75rem;flex-wrap:wrap;align-items:baseline}
.method{font:600 .75rem ui-monospace,monospace;border:1px solid currentColor;border-radius:5px;padding:.1rem .4rem;color:var(--accent)}.what{color:var(--soft)}
table{border-collapse:collapse;width:100%;margin:.5rem 0}th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-top:1px solid var(--line)}th{color:var(--soft);font-weight:500}
label{display:block;font-weight:600;margin:.5rem 0 .25rem}input{width:100%;padding:.6rem .75rem;border:1px solid var(--line);border-radius:8px;background:var(--page);color:inherit;font:inherit}
button{margin-top:1rem;width:100%;padding:.65rem;border:0;border-radius:8px;background:#2f6fed;color:#fff;font:600 1rem system-ui,sans-serif;cursor:pointer}:focus-visible{outline:3px solid var(--accent);outline-offset:2px}.wrong{color:var(--bad)}
"""


def render(title: str, body: str) -> str:
    """A whole page; `body` is our own markup, `title` any text."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)} · Runwell</title><style>{STYLE}</style></head><body>{body}</body></html>"
    )
