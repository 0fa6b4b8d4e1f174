"""A headless Chromium, told what to do through its DevTools protocol over two pipes."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)
# what is wider than the window, unless it scrolls inside an element of its own
WIDE = """[...document.querySelectorAll('body *')].filter(e => !e.closest('svg')
  && !e.parentElement.closest('.wide, pre')
  && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(e => `${e.tagName}.${e.className} ${e.textContent.slice(0, 40)}`)"""
SCROLLS = 'document.scrollingElement.scrollWidth - document.documentElement.clientWidth'


class Browser:
    """One page. `events` holds what the browser reported so far, as (method, params)."""

    def __init__(self, profile, patience=300):
        self.patience, self.events, self.count, self.buffer = patience, [], 0, b''
        # the browser reads its file 3 and writes its file 4: ours lie above them
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (*os.pipe(), *os.pipe())]
        self.read, self.write = ends[2], ends[1]

        flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
        flags += ['--remote-debugging-pipe', '--no-first-run', f'--user-data-dir={profile}']
        # a shell moves them: a fork by Python beside the threads of JAX may never end
        moved = f'exec "$@" 3<&{ends[0]} 4>&{ends[3]}'
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.process = subprocess.Popen(
            ['bash', '-c', moved, 'bash', CHROMIUM, *flags], pass_fds=(ends[0], ends[3]), **quiet
        )
        os.close(ends[0])
        os.close(ends[3])
        self.session = None
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self.session = self.call('Target.attachToTarget', targetId=target, flatten=True)[
            'sessionId'
        ]
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')

    def call(self, method, **params):
        self.count += 1
        message = {'id': self.count, 'method': method, 'params': params}
        if self.session:
            message['sessionId'] = self.session
        os.write(self.write, json.dumps(message).encode() + b'\0')
        while True:
            row = self.next()
            if row.get('id') == self.count:
                assert 'error' not in row, (method, row['error'])
                return row['result']

    def next(self):
        end = time.monotonic() + self.patience
        while b'\0' not in self.buffer:
            ready, _, _ = select.select([self.read], [], [], max(0, end - time.monotonic()))
            assert ready, 'the browser does not answer'
            data = os.read(self.read, 1 << 20)
            assert data, 'the browser has ended'
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b'\0')
        row = json.loads(line)
        if 'method' in row:
            self.events.append((row['method'], row['params']))
        return row

    def open(self, path, width, height=900):
        """Shows a file in a window of that width, as a telephone does below 600 pixels."""
        self.call(
            'Emulation.setDeviceMetricsOverride',
            **dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 600),
        )
        self.events.clear()
        self.call('Page.navigate', url=path.resolve().as_uri())
        while not any(method == 'Page.loadEventFired' for method, _ in self.events):
            self.next()

    def value(self, expression):
        found = self.call('Runtime.evaluate', expression=expression, returnByValue=True)
        assert 'exceptionDetails' not in found, found
        return found['result'].get('value')

    def picture(self):
        """The whole page as PNG."""
        found = self.call('Page.captureScreenshot', captureBeyondViewport=True)
        return base64.b64decode(found['data'])

    def printed(self):
        """The page as PDF (A4)."""
        size = dict(paperWidth=8.27, paperHeight=11.69, printBackground=True)
        return base64.b64decode(self.call('Page.printToPDF', **size)['data'])

    def complaints(self):
        """What the console said, exceptions, and requests for anything but the page."""
        told = ('Log.entryAdded', 'Runtime.exceptionThrown', 'Runtime.consoleAPICalled')
        found = [(method, params) for method, params in self.events if method in told]
        asked = [p['request']['url'] for m, p in self.events if m == 'Network.requestWillBeSent']
        return found + [url for url in asked[1:] if not url.startswith('data:')]

    def close(self):
        with contextlib.suppress(OSError, AssertionError):
            self.session = None
            self.call('Browser.close')
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for end in (self.read, self.write):
            os.close(end)
