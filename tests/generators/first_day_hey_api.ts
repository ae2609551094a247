// The first day with @hey-api/openapi-ts.
import assert from "node:assert/strict";
import { createClient as createCentral } from "./hey_api/central/client/index.js";
import { createWorkspace, register, switchTo } from "./hey_api/central/sdk.gen.js";
import { createClient } from "./hey_api/workspace/client/index.js";
import * as cx from "./hey_api/workspace/sdk.gen.js";

const { CX_PORT } = process.env;
const name = "hey-api";

const visitor = createCentral({ baseUrl: `http://localhost:${CX_PORT}/api`, throwOnError: true });
const account = await register({
  client: visitor,
  throwOnError: true,
  body: { name, email: `${name}@cx.test`, password: "correct horse battery" },
});
const central = createCentral({ baseUrl: `http://localhost:${CX_PORT}/api`, auth: account.data.token });
const workspace = await createWorkspace({ client: central, throwOnError: true, body: { name, subdomain: name } });
const switched = await switchTo({
  client: central,
  throwOnError: true,
  body: { workspace_id: workspace.data.id },
});

const baseUrl = `http://${workspace.data.subdomain}.localhost:${CX_PORT}/api`;
const client = createClient({ baseUrl, auth: switched.data.token });
const options = { client, throwOnError: true } as const;

const { data: customer } = await cx.createCustomer({
  ...options,
  body: { name: "Zoé Père & Fils", main_address_city: "Besançon", active: false, vip: true },
});
assert.equal(customer.name, "Zoé Père & Fils");
const contact = await cx.createContact({
  ...options,
  body: { last_name: "Lefèvre", customer_id: customer.id, phone_mobile_1: "06 12 34 56 78" },
});

const numbered = await cx.listCustomers({ ...options, query: { page: 1 } });
assert("total" in numbered.data);
assert.equal(numbered.data.total, 1);
const walked = await cx.listCustomers({ ...options, query: { cursor: "" } });
assert("next_cursor" in walked.data);
assert.deepEqual([walked.data.data.length, walked.data.next_cursor], [1, null]);

// One field changes. All others stay.
const path = { id: customer.id };
const read = await cx.getCustomer({ ...options, path });
const etag = read.response.headers.get("ETag");
assert(etag);
const headers = { "If-Match": etag };
const updated = await cx.updateCustomer({ ...options, path, headers, body: { comment: "Réglé" } });
assert.deepEqual(
  { ...updated.data, updated_at: "" },
  { ...customer, comment: "Réglé", updated_at: "" },
);
const stale = await cx.updateCustomer({ client, path, headers, body: { comment: "Non" } });
assert(stale.error && "error" in stale.error);
assert.equal(stale.error.error, "stale_write");

const imported = await cx.importContacts({
  ...options,
  body: { data: [{ last_name: "Noël" }, { last_name: "Müller", email: "mueller@cx.test" }] },
});
assert.equal(imported.data.created, 2);
const exported = await cx.exportContacts(options);
assert(typeof exported.data !== "string");
assert.deepEqual(exported.data.map((row) => row.last_name).sort(), ["Lefèvre", "Müller", "Noël"]);

const key = await cx.createIntegrationKey({ ...options, body: { name: "PBX", permissions: ["crm.lookup"] } });
const pbx = createClient({ baseUrl, auth: key.data.key });
const callers = await cx.searchCallers({ client: pbx, throwOnError: true, query: { phone: "+33612345678" } });
assert.equal(callers.data.contacts[0]?.last_name, "Lefèvre");

const { customer_account } = customer;
const queue = await cx.createCallQueue({
  ...options,
  query: { customer_account },
  body: { name: "Support", code: "SUP", default_destination: "899" },
});
await cx.createTimeSpan({
  ...options,
  query: { customer_account, time_spanable_type: "call_queue", time_spanable_id: queue.data.id },
  body: { day_of_week: 1, start_time: "09:00", end_time: "18:00", destination: "801" },
});
const { data: route } = await cx.lookUpCallQueue({
  ...options,
  query: { customer_account, code: "SUP", at: "2027-05-03T10:00:00Z" },
});
assert.deepEqual([route.open, route.destination, route.reason], [true, "801", "time_span"]);

const invalid = await cx.createCustomer({ client, body: { name: "" } });
assert(invalid.error && "response" in invalid.error);
assert.deepEqual(invalid.error.hint, ["The name field is required."]);

const deleted = await cx.deleteContacts({ ...options, body: { ids: [contact.data.id] } });
assert.equal(deleted.data.deleted, 1);
