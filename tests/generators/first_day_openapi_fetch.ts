// The first day with openapi-typescript and openapi-fetch.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths as Central } from "./openapi_fetch/central.js";
import type { paths as Workspace } from "./openapi_fetch/workspace.js";

const { CX_PORT } = process.env;
const name = "openapi-fetch";
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

const visitor = createClient<Central>({ baseUrl: `http://localhost:${CX_PORT}/api` });
const account = await visitor.POST("/register", {
  body: { name, email: `${name}@cx.test`, password: "correct horse battery" },
});
assert(account.data);
const central = createClient<Central>({
  baseUrl: `http://localhost:${CX_PORT}/api`,
  headers: bearer(account.data.token),
});
const workspace = await central.POST("/workspaces", { body: { name, subdomain: name } });
assert(workspace.data);
const switched = await central.POST("/switch-to", { body: { workspace_id: workspace.data.id } });
assert(switched.data);

const baseUrl = `http://${workspace.data.subdomain}.localhost:${CX_PORT}/api`;
const cx = createClient<Workspace>({ baseUrl, headers: bearer(switched.data.token) });

const created = await cx.POST("/customers", {
  body: { name: "Zoé Père & Fils", main_address_city: "Besançon", active: false, vip: true },
});
assert(created.data);
const customer = created.data;
assert.equal(customer.name, "Zoé Père & Fils");
const contact = await cx.POST("/contacts", {
  body: { last_name: "Lefèvre", customer_id: customer.id, phone_mobile_1: "06 12 34 56 78" },
});
assert(contact.data);

const numbered = await cx.GET("/customers", { params: { query: { page: 1 } } });
assert(numbered.data && "total" in numbered.data);
assert.equal(numbered.data.total, 1);
const walked = await cx.GET("/customers", { params: { query: { cursor: "" } } });
assert(walked.data && "next_cursor" in walked.data);
assert.deepEqual([walked.data.data.length, walked.data.next_cursor], [1, null]);

// One field changes. All others stay.
const path = { id: customer.id };
const read = await cx.GET("/customers/{id}", { params: { path } });
const etag = read.response.headers.get("ETag");
assert(etag);
const headers = { "If-Match": etag };
const updated = await cx.PUT("/customers/{id}", { params: { path, header: headers }, body: { comment: "Réglé" } });
assert(updated.data);
assert.deepEqual(
  { ...updated.data, updated_at: "" },
  { ...customer, comment: "Réglé", updated_at: "" },
);
const stale = await cx.PUT("/customers/{id}", { params: { path, header: headers }, body: { comment: "Non" } });
assert.equal(stale.response.status, 412);
assert(stale.error && "error" in stale.error);
assert.equal(stale.error.error, "stale_write");

const imported = await cx.POST("/contacts/import", {
  body: { data: [{ last_name: "Noël" }, { last_name: "Müller", email: "mueller@cx.test" }] },
});
assert.equal(imported.data?.created, 2);
const exported = await cx.GET("/contacts/export");
assert(exported.data && typeof exported.data !== "string");
assert.deepEqual(exported.data.map((row) => row.last_name).sort(), ["Lefèvre", "Müller", "Noël"]);
const csv = await cx.GET("/contacts/export", { params: { query: { format: "csv" } }, parseAs: "text" });
assert.match(String(csv.data), /Lefèvre/);

const key = await cx.POST("/integration-keys", { body: { name: "PBX", permissions: ["crm.lookup"] } });
assert(key.data);
const pbx = createClient<Workspace>({ baseUrl, headers: bearer(key.data.key) });
const callers = await pbx.GET("/crm/lookup/contacts/search", { params: { query: { phone: "+33612345678" } } });
assert.equal(callers.data?.contacts[0]?.last_name, "Lefèvre");

const customer_account = customer.customer_account;
const queue = await cx.POST("/smart-routings/call-queues/queues", {
  params: { query: { customer_account } },
  body: { name: "Support", code: "SUP", default_destination: "899" },
});
assert(queue.data);
const span = await cx.POST("/smart-routings/call-queues/time-spans", {
  params: { query: { customer_account, time_spanable_type: "call_queue", time_spanable_id: queue.data.id } },
  body: { day_of_week: 1, start_time: "09:00", end_time: "18:00", destination: "801" },
});
assert(span.data);
const route = await cx.GET("/smart-routings/call-queues/lookup", {
  params: { query: { customer_account, code: "SUP", at: "2027-05-03T10:00:00Z" } },
});
assert.deepEqual([route.data?.open, route.data?.destination, route.data?.reason], [true, "801", "time_span"]);

const invalid = await cx.POST("/customers", { body: { name: "" } });
assert(invalid.error && "response" in invalid.error);
assert.deepEqual(invalid.error.hint, ["The name field is required."]);

const deleted = await cx.DELETE("/contacts/bulk", { body: { ids: [contact.data.id] } });
assert.equal(deleted.data?.deleted, 1);
