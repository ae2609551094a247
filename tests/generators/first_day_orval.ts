// The first day with orval and its fetch client.
import assert from "node:assert/strict";
import { createWorkspace, register, switchTo } from "./orval/central.js";
import * as cx from "./orval/workspace.js";
import { connect } from "./orval_fetch.js";

const { CX_PORT } = process.env;
const name = "orval";

connect("central", `http://localhost:${CX_PORT}/api`, "");
const account = await register({ name, email: `${name}@cx.test`, password: "correct horse battery" });
assert(account.status === 201);
connect("central", `http://localhost:${CX_PORT}/api`, account.data.token);
const workspace = await createWorkspace({ name, subdomain: name });
assert(workspace.status === 201);
const switched = await switchTo({ workspace_id: workspace.data.id });
assert(switched.status === 200);

const url = `http://${workspace.data.subdomain}.localhost:${CX_PORT}/api`;
connect("workspace", url, switched.data.token);

const created = await cx.createCustomer({
  name: "Zoé Père & Fils",
  main_address_city: "Besançon",
  active: false,
  vip: true,
});
assert(created.status === 201);
const customer = created.data;
assert.equal(customer.name, "Zoé Père & Fils");
const contact = await cx.createContact({
  last_name: "Lefèvre",
  customer_id: customer.id,
  phone_mobile_1: "06 12 34 56 78",
});
assert(contact.status === 201);

const numbered = await cx.listCustomers({ page: 1 });
assert(numbered.status === 200 && "total" in numbered.data);
assert.equal(numbered.data.total, 1);
const walked = await cx.listCustomers({ cursor: "" });
assert(walked.status === 200 && "next_cursor" in walked.data);
assert.deepEqual([walked.data.data.length, walked.data.next_cursor], [1, null]);

// One field changes. All others stay.
const read = await cx.getCustomer(customer.id);
assert(read.status === 200);
const etag = read.headers.get("ETag");
assert(etag);
const options = { headers: { "If-Match": etag } };
const updated = await cx.updateCustomer(customer.id, { comment: "Réglé" }, options);
assert(updated.status === 201);
assert.deepEqual(
  { ...updated.data, updated_at: "" },
  { ...customer, comment: "Réglé", updated_at: "" },
);
const stale = await cx.updateCustomer(customer.id, { comment: "Non" }, options);
assert(stale.status === 412);
assert.equal(stale.data.error, "stale_write");

// Orval names no type where a body may have several.
const imported = await cx.importContacts(
  { data: [{ last_name: "Noël" }, { last_name: "Müller", email: "mueller@cx.test" }] },
  undefined,
  { headers: { "Content-Type": "application/json" } },
);
assert(imported.status === 201);
assert.equal(imported.data.created, 2);
const exported = await cx.exportContacts();
assert(exported.status === 200 && typeof exported.data !== "string");
assert.deepEqual(exported.data.map((row) => row.last_name).sort(), ["Lefèvre", "Müller", "Noël"]);

const queue = await cx.createCallQueue(
  { name: "Support", code: "SUP", default_destination: "899" },
  { customer_account: customer.customer_account },
);
assert(queue.status === 201);
await cx.createTimeSpan(
  { day_of_week: 1, start_time: "09:00", end_time: "18:00", destination: "801" },
  {
    customer_account: customer.customer_account,
    time_spanable_type: "call_queue",
    time_spanable_id: queue.data.id,
  },
);
const route = await cx.lookUpCallQueue({
  customer_account: customer.customer_account,
  code: "SUP",
  at: "2027-05-03T10:00:00Z",
});
assert(route.status === 200);
assert.deepEqual([route.data.open, route.data.destination, route.data.reason], [true, "801", "time_span"]);

const invalid = await cx.createCustomer({ name: "" });
assert(invalid.status === 400 && "response" in invalid.data);
assert.deepEqual(invalid.data.hint, ["The name field is required."]);

const key = await cx.createIntegrationKey({ name: "PBX", permissions: ["crm.lookup"] });
assert(key.status === 201);
connect("workspace", url, key.data.key);
const callers = await cx.searchCallers({ phone: "+33612345678" });
assert(callers.status === 200);
assert.equal(callers.data.contacts[0]?.last_name, "Lefèvre");
connect("workspace", url, switched.data.token);

const deleted = await cx.deleteContacts({ ids: [contact.data.id] });
assert(deleted.status === 200);
assert.equal(deleted.data.deleted, 1);
