#!/usr/bin/env bash
# OAuth with a client that others have written, in another language: Python's Authlib, unmodified, against the running
# program; a person's part is played by a session that fills in the forms. CX_ENGINE names a program to try; else it is
# built.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PACKAGES="authlib==1.6.5 requests==2.32.5"

if ! command -v python3 >/dev/null; then
    echo "oauth_clients: skipped, there is no python3 here"
    if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
fi
venv=$PWD/target/oauth-clients-venv
if [ "$(cat "$venv/packages" 2>/dev/null)" != "$PACKAGES" ]; then
    python3 -m venv --clear "$venv"
    # shellcheck disable=SC2086
    "$venv/bin/pip" install --quiet --disable-pip-version-check $PACKAGES
    echo "$PACKAGES" >"$venv/packages"
fi
readonly NAME=oauth_clients
. tests/serve.sh

serve
CX_PORT=${url##*:} "$venv/bin/python" - <<'PYTHON'
import os, socket
from html.parser import HTMLParser
from urllib.parse import parse_qs, urljoin, urlsplit

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # http, as on a laptop
import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

# Browsers take *.localhost to this machine by themselves; Python asks the system, which may not.
of_the_system = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: of_the_system(
    "127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)

PORT = os.environ["CX_PORT"]
CENTRAL, ACME = f"http://localhost:{PORT}", f"http://acme.localhost:{PORT}"
EMAIL, PASSWORD, CALLBACK = "ada@cx.test", "correct horse battery", "https://pbx.example.com/callback"


class Forms(HTMLParser):
    """The forms of a page: where each goes, its fields, its labels."""

    def __init__(self, text):
        super().__init__()
        self.forms = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.forms.append((attributes["action"], {}))
        elif tag == "input":
            self.forms[-1][1][attributes["name"]] = attributes.get("value", "")


def approve(url):
    """Signs in where asked to, approves, and answers the address that the client's user is sent to."""
    browser = requests.Session()
    answer = browser.get(url, allow_redirects=False)
    for _ in range(10):
        to = answer.headers.get("location")
        if to and to.startswith(CALLBACK):
            return to
        if to:
            answer = browser.get(urljoin(answer.url, to), allow_redirects=False)
            continue
        assert answer.status_code == 200, answer.text
        action, fields = Forms(answer.text).forms[0]
        if "password" in fields:
            fields |= {"email": EMAIL, "password": PASSWORD}
        else:
            fields["decision"] = "approve"
        answer = browser.post(urljoin(answer.url, action), data=fields, allow_redirects=False)
    raise AssertionError("the browser goes in circles")


def refused(error, work):
    try:
        work()
    except OAuthError as said:
        assert said.error == error, said
    else:
        raise AssertionError(f"not refused with {error}")


def post(host, path, body, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = requests.post(f"{host}/api{path}", json=body, headers=headers)
    assert answer.ok, answer.text
    return answer.json()


post(CENTRAL, "/register", {"name": "Ada", "email": EMAIL, "password": PASSWORD, "workspace_name": "Acme", "subdomain": "acme"})
ada = post(ACME, "/login", {"email": EMAIL, "password": PASSWORD})["token"]
registered = post(ACME, "/oauth-clients", {
    "name": "PBX", "redirect_uris": [CALLBACK], "grants": ["authorization_code", "client_credentials"],
    "scopes": ["client", "crm", "contact.view"],
}, ada)
known = requests.get(f"{ACME}/.well-known/oauth-authorization-server").json()
assert known["issuer"] == ACME, known

for way in ["client_secret_basic", "client_secret_post"]:
    assert way in known["token_endpoint_auth_methods_supported"], known
    session = OAuth2Session(
        registered["client_id"], registered["client_secret"], redirect_uri=CALLBACK, scope="contact.view",
        code_challenge_method="S256", token_endpoint=known["token_endpoint"], token_endpoint_auth_method=way,
        revocation_endpoint_auth_method=way)
    verifier = generate_token(48)
    url, state = session.create_authorization_url(known["authorization_endpoint"], code_verifier=verifier)
    sent_to = approve(url)
    assert parse_qs(urlsplit(sent_to).query)["iss"] == [ACME], sent_to
    session.fetch_token(authorization_response=sent_to, code_verifier=verifier, state=state)
    assert session.get(f"{ACME}/api/contacts").json()["total"] == 0
    assert session.get(f"{ACME}/api/customers").status_code == 403
    first = dict(session.token)
    session.refresh_token(known["token_endpoint"])
    assert session.token["access_token"] != first["access_token"]
    assert session.get(f"{ACME}/api/contacts").status_code == 200
    seen = session.introspect_token(known["introspection_endpoint"], session.token["access_token"]).json()
    assert seen["active"] is True and seen["scope"] == "contact.view", seen
    assert session.revoke_token(known["revocation_endpoint"], session.token["refresh_token"]).status_code == 200
    assert session.get(f"{ACME}/api/contacts").status_code == 401
    refused("invalid_grant", lambda: session.refresh_token(known["token_endpoint"]))

    own = OAuth2Session(registered["client_id"], registered["client_secret"], token_endpoint_auth_method=way)
    own.fetch_token(known["token_endpoint"], grant_type="client_credentials", scope="contact.view")
    assert own.get(f"{ACME}/api/contacts").status_code == 200
    refused("invalid_scope", lambda: own.fetch_token(
        known["token_endpoint"], grant_type="client_credentials", scope="user.view"))
    print(f"oauth_clients: Authlib gets what it asks for, by {way}")
PYTHON
