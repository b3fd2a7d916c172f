"""A page that is opened in Chromium."""

from __future__ import annotations

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
]


class Opened:
    """A page that was opened, with what it asked for, threw, and tried against its policy."""

    def __init__(self, browser, path, fragment="", *, width=1440, height=900, scripts=True, offline=True, **context):
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, java_script_enabled=scripts, offline=offline, **context
        )
        self.page = self.context.new_page()
        self.asked, self.errors = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._told)
        self.page.add_init_script(
            "globalThis.violations = [];"
            "addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective))"
        )
        self.url = path.as_uri() + (f"#{fragment}" if fragment else "")
        self.page.goto(self.url)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.context.pages and not self.page.is_closed():
            assert self.errors == []
        self.context.close()

    def _told(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def ask(self, script, argument=None):
        return self.page.evaluate(script, argument)

    @property
    def fragment(self):
        return self.ask("decodeURIComponent(location.hash)")
