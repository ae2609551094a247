"""The first day with openapi-python-client."""

import os
from datetime import UTC, datetime

import localhost  # noqa: F401
from cx_central import AuthenticatedClient as Central
from cx_central import Client as Visitor
from cx_central.api.registration import register
from cx_central.api.session import switch_to
from cx_central.api.workspaces import create_workspace
from cx_central.models import Registered, RegistrationInput, SwitchInput, Switched, Workspace, WorkspaceInput
from cx_workspace import AuthenticatedClient
from cx_workspace.api.call_queue_look_up import look_up_call_queue
from cx_workspace.api.call_queues import create_call_queue
from cx_workspace.api.contacts import create_contact, delete_contacts, export_contacts, import_contacts
from cx_workspace.api.crm_look_up import search_callers
from cx_workspace.api.customers import create_customer, get_customer, list_customers, update_customer
from cx_workspace.api.integration_keys import create_integration_key
from cx_workspace.api.time_spans import create_time_span
from cx_workspace.models import (
    ApiError,
    CallQueue,
    CallQueueInput,
    CallQueueRoute,
    CallerSearch,
    Contact,
    ContactImport,
    ContactInput,
    ContactRow,
    CreateTimeSpanTimeSpanableType,
    Customer,
    CustomerCursorPage,
    CustomerInput,
    CustomerPage,
    CustomerUpdate,
    Deleted,
    IdList,
    Imported,
    IntegrationKeyInput,
    IntegrationKeyInputPermissionsItem,
    IntegrationKeyShown,
    InvalidRequest,
    SavedSpan,
    TimeSpanInput,
)

PORT = os.environ["CX_PORT"]
NAME = "openapi-python-client"

account = register.sync(
    client=Visitor(f"http://localhost:{PORT}/api"),
    body=RegistrationInput(name=NAME, email=f"{NAME}@cx.test", password="correct horse battery"),
)
assert isinstance(account, Registered)
central = Central(f"http://localhost:{PORT}/api", token=account.token)
workspace = create_workspace.sync(client=central, body=WorkspaceInput(name=NAME, subdomain=NAME))
assert isinstance(workspace, Workspace)
switched = switch_to.sync(client=central, body=SwitchInput(workspace_id=workspace.id))
assert isinstance(switched, Switched)

URL = f"http://{workspace.subdomain}.localhost:{PORT}/api"
cx = AuthenticatedClient(URL, token=switched.token)

customer = create_customer.sync(
    client=cx,
    body=CustomerInput(name="Zoé Père & Fils", main_address_city="Besançon", active=False, vip=True),
)
assert isinstance(customer, Customer)
assert customer.name == "Zoé Père & Fils"
contact = create_contact.sync(
    client=cx,
    body=ContactInput(last_name="Lefèvre", customer_id=customer.id, phone_mobile_1="06 12 34 56 78"),
)
assert isinstance(contact, Contact)

numbered = list_customers.sync(client=cx)
assert isinstance(numbered, CustomerPage)
assert numbered.total == 1
walked = list_customers.sync(client=cx, cursor="")
assert isinstance(walked, CustomerCursorPage)
assert (len(walked.data), walked.next_cursor) == (1, None)

# One field changes. All others stay.
read = get_customer.sync_detailed(customer.id, client=cx)
etag = read.headers["ETag"]
updated = update_customer.sync(customer.id, client=cx, if_match=etag, body=CustomerUpdate(comment="Réglé"))
assert isinstance(updated, Customer)
before, after = customer.to_dict(), updated.to_dict()
assert after == {**before, "comment": "Réglé", "updated_at": after["updated_at"]}
stale = update_customer.sync(customer.id, client=cx, if_match=etag, body=CustomerUpdate(comment="Non"))
assert isinstance(stale, ApiError)
assert stale.error == "stale_write"

imported = import_contacts.sync(
    client=cx,
    body=ContactImport(data=[ContactRow(last_name="Noël"), ContactRow(last_name="Müller", email="mueller@cx.test")]),
)
assert isinstance(imported, Imported)
assert imported.created == 2
exported = export_contacts.sync(client=cx)
assert isinstance(exported, list)
assert sorted(row.last_name for row in exported) == ["Lefèvre", "Müller", "Noël"]

key = create_integration_key.sync(
    client=cx,
    body=IntegrationKeyInput(name="PBX", permissions=[IntegrationKeyInputPermissionsItem("crm.lookup")]),
)
assert isinstance(key, IntegrationKeyShown)
pbx = AuthenticatedClient(URL, token=key.key)
callers = search_callers.sync(client=pbx, phone="+33612345678")
assert isinstance(callers, CallerSearch)
assert callers.contacts[0].last_name == "Lefèvre"

queue = create_call_queue.sync(
    client=cx,
    customer_account=customer.customer_account,
    body=CallQueueInput(name="Support", code="SUP", default_destination="899"),
)
assert isinstance(queue, CallQueue)
span = create_time_span.sync(
    client=cx,
    customer_account=customer.customer_account,
    time_spanable_type=CreateTimeSpanTimeSpanableType.CALL_QUEUE,
    time_spanable_id=queue.id,
    body=TimeSpanInput(day_of_week=1, start_time="09:00", end_time="18:00", destination="801"),
)
assert isinstance(span, SavedSpan)
route = look_up_call_queue.sync(
    client=cx,
    customer_account=customer.customer_account,
    code="SUP",
    at=datetime(2027, 5, 3, 10, tzinfo=UTC),
)
assert isinstance(route, CallQueueRoute)
assert (route.open_, route.destination, route.reason) == (True, "801", "time_span")

invalid = create_customer.sync(client=cx, body=CustomerInput(name=""))
assert isinstance(invalid, InvalidRequest)
assert invalid.hint == ["The name field is required."]

deleted = delete_contacts.sync(client=cx, body=IdList(ids=[contact.id]))
assert isinstance(deleted, Deleted)
assert deleted.deleted == 1
