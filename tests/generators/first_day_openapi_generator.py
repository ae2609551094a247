"""The first day with openapi-generator's python."""

import os
from datetime import UTC, datetime

import localhost  # noqa: F401
import og_central as central
import og_workspace as cx
from og_workspace.exceptions import BadRequestException

PORT = os.environ["CX_PORT"]
NAME = "openapi-generator"
CENTRAL = f"http://localhost:{PORT}/api"

visitor = central.ApiClient(central.Configuration(CENTRAL))
account = central.RegistrationApi(visitor).register(
    central.RegistrationInput(name=NAME, email=f"{NAME}@cx.test", password="correct horse battery")
)
own = central.ApiClient(central.Configuration(CENTRAL, access_token=account.token))
workspace = central.WorkspacesApi(own).create_workspace(central.WorkspaceInput(name=NAME, subdomain=NAME))
switched = central.SessionApi(own).switch_to(switch_input=central.SwitchInput(workspace_id=workspace.id))

URL = f"http://{workspace.subdomain}.localhost:{PORT}/api"
client = cx.ApiClient(cx.Configuration(URL, access_token=switched.token))
customers, contacts = cx.CustomersApi(client), cx.ContactsApi(client)

customer = customers.create_customer(
    cx.CustomerInput(name="Zoé Père & Fils", main_address_city="Besançon", active=False, vip=True)
)
assert customer.name == "Zoé Père & Fils"
contact = contacts.create_contact(
    cx.ContactInput(last_name="Lefèvre", customer_id=customer.id, phone_mobile_1="06 12 34 56 78")
)

numbered = customers.list_customers(page=1).actual_instance
assert isinstance(numbered, cx.CustomerPage)
assert numbered.total == 1
walked = customers.list_customers(cursor="").actual_instance
assert isinstance(walked, cx.CustomerCursorPage)
assert (len(walked.data), walked.next_cursor) == (1, None)

# One field changes. All others stay.
read = customers.get_customer_with_http_info(customer.id)
assert read.headers
# The generated client compares names of headers by case.
etag = next(value for name, value in read.headers.items() if name.lower() == "etag")
updated = customers.update_customer(customer.id, if_match=etag, customer_update=cx.CustomerUpdate(comment="Réglé"))
assert updated == customer.model_copy(update={"comment": "Réglé", "updated_at": updated.updated_at})
try:
    customers.update_customer(customer.id, if_match=etag, customer_update=cx.CustomerUpdate(comment="Non"))
    raise AssertionError("a stale write passed")
except cx.ApiException as error:
    assert error.status == 412
    assert isinstance(error.data, cx.ApiError)
    assert error.data.error == "stale_write"

imported = contacts.import_contacts(
    cx.ContactImport(data=[cx.ContactRow(last_name="Noël"), cx.ContactRow(last_name="Müller", email="mueller@cx.test")])
)
assert imported.created == 2
exported = contacts.export_contacts()
assert sorted(row.last_name for row in exported) == ["Lefèvre", "Müller", "Noël"]

key = cx.IntegrationKeysApi(client).create_integration_key(
    cx.IntegrationKeyInput(name="PBX", permissions=["crm.lookup"])
)
pbx = cx.ApiClient(cx.Configuration(URL, access_token=key.key))
callers = cx.CRMLookUpApi(pbx).search_callers(phone="+33612345678")
assert callers.contacts[0].last_name == "Lefèvre"

account_of = customer.customer_account
queue = cx.CallQueuesApi(client).create_call_queue(
    cx.CallQueueInput(name="Support", code="SUP", default_destination="899"), customer_account=account_of
)
cx.TimeSpansApi(client).create_time_span(
    queue.id,
    "call_queue",
    cx.TimeSpanInput(day_of_week=1, start_time="09:00", end_time="18:00", destination="801"),
    customer_account=account_of,
)
route = cx.CallQueueLookUpApi(client).look_up_call_queue(
    customer_account=account_of, code="SUP", at=datetime(2027, 5, 3, 10, tzinfo=UTC)
)
assert (route.open, route.destination, route.reason) == (True, "801", "time_span")

try:
    # The client itself rejects an empty name. It does not know how large custom fields may be.
    customers.create_customer(cx.CustomerInput(name="Zoé", custom_fields={"note": "x" * 20_000}))
    raise AssertionError("an invalid customer passed")
except BadRequestException as refusal:
    assert refusal.data
    assert isinstance(refusal.data.actual_instance, cx.InvalidRequest)
    assert len(refusal.data.actual_instance.hint) == 1

deleted = contacts.delete_contacts(cx.IdList(ids=[contact.id]))
assert deleted.deleted == 1
