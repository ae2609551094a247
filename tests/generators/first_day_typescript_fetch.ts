// The first day with openapi-generator's typescript-fetch.
import assert from "node:assert/strict";
import * as central from "./typescript_fetch/central/index.js";
import * as cx from "./typescript_fetch/workspace/index.js";

const { CX_PORT } = process.env;
const name = "typescript-fetch";

const basePath = `http://localhost:${CX_PORT}/api`;
const account = await new central.RegistrationApi(new central.Configuration({ basePath })).register({
  registrationInput: { name, email: `${name}@cx.test`, password: "correct horse battery" },
});
const own = new central.Configuration({ basePath, accessToken: account.token });
const workspace = await new central.WorkspacesApi(own).createWorkspace({ workspaceInput: { name, subdomain: name } });
const switched = await new central.SessionApi(own).switchTo({ switchInput: { workspaceId: workspace.id } });

// Of a bearer scheme the generator wants the token, of an OAuth scheme the whole header.
const inWorkspace = (token: string) =>
  new cx.Configuration({
    basePath: `http://${workspace.subdomain}.localhost:${CX_PORT}/api`,
    accessToken: (scheme) => (scheme === "oauth2" ? `Bearer ${token}` : token),
  });
const configuration = inWorkspace(switched.token);
const customers = new cx.CustomersApi(configuration);
const contacts = new cx.ContactsApi(configuration);

/** The response by which the server rejected a request. */
const rejection = async (request: Promise<unknown>): Promise<Response> => {
  const error = await request.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert(error instanceof cx.ResponseError);
  return error.response;
};

const customer = await customers.createCustomer({
  customerInput: { name: "Zoé Père & Fils", mainAddressCity: "Besançon", active: false, vip: true },
});
assert.equal(customer.name, "Zoé Père & Fils");
const contact = await contacts.createContact({
  contactInput: { lastName: "Lefèvre", customerId: customer.id, phoneMobile1: "06 12 34 56 78" },
});

const numbered = await customers.listCustomers({ page: 1 });
assert("total" in numbered);
assert.equal(numbered.total, 1);
const walked = await customers.listCustomers({ cursor: "" });
assert("nextCursor" in walked);
assert.deepEqual([walked.data.length, walked.nextCursor], [1, null]);

// One field changes. All others stay.
const read = await customers.getCustomerRaw({ id: customer.id });
const etag = read.raw.headers.get("ETag");
assert(etag);
const request = { id: customer.id, ifMatch: etag };
const updated = await customers.updateCustomer({ ...request, customerUpdate: { comment: "Réglé" } });
assert.deepEqual({ ...updated, updatedAt: null }, { ...customer, comment: "Réglé", updatedAt: null });
const stale = await rejection(customers.updateCustomer({ ...request, customerUpdate: { comment: "Non" } }));
assert.equal(stale.status, 412);
assert.equal(cx.ApiErrorFromJSON(await stale.json()).error, "stale_write");

const imported = await contacts.importContacts({
  contactImport: { data: [{ lastName: "Noël" }, { lastName: "Müller", email: "mueller@cx.test" }] },
});
assert.equal(imported.created, 2);
const exported = await contacts.exportContacts();
assert.deepEqual(exported.map((row) => row.lastName).sort(), ["Lefèvre", "Müller", "Noël"]);

const key = await new cx.IntegrationKeysApi(configuration).createIntegrationKey({
  integrationKeyInput: { name: "PBX", permissions: ["crm.lookup"] },
});
const callers = await new cx.CRMLookUpApi(inWorkspace(key.key)).searchCallers({ phone: "+33612345678" });
assert.equal(callers.contacts[0]?.lastName, "Lefèvre");

const { customerAccount } = customer;
const queue = await new cx.CallQueuesApi(configuration).createCallQueue({
  customerAccount,
  callQueueInput: { name: "Support", code: "SUP", defaultDestination: "899" },
});
await new cx.TimeSpansApi(configuration).createTimeSpan({
  customerAccount,
  timeSpanableType: "call_queue",
  timeSpanableId: queue.id,
  timeSpanInput: { dayOfWeek: 1, startTime: "09:00", endTime: "18:00", destination: "801" },
});
const route = await new cx.CallQueueLookUpApi(configuration).lookUpCallQueue({
  customerAccount,
  code: "SUP",
  at: new Date("2027-05-03T10:00:00Z"),
});
assert.deepEqual([route.open, route.destination, route.reason], [true, "801", "time_span"]);

const invalid = await rejection(customers.createCustomer({ customerInput: { name: "" } }));
const problem: unknown = await invalid.json();
assert(typeof problem === "object" && problem && cx.instanceOfInvalidRequest(problem));
assert.deepEqual(problem.hint, ["The name field is required."]);

const deleted = await contacts.deleteContacts({ idList: { ids: [contact.id] } });
assert.equal(deleted.deleted, 1);
