"use strict";
// The script of the console. Each part is an extra: without it, the pages do the same with more clicks.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const french = document.documentElement.lang === "fr";
  const say = (english, inFrench) => (french ? inFrench : english);
  const isTyping = (target) => target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");

  // A form is sent once. Its button says so after a moment.
  for (const form of all("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) return event.preventDefault();
      form.dataset.sent = "1";
      const button = one("button:not([type=button])", form);
      setTimeout(() => { if (button) button.textContent = say("Saving…", "Enregistrement…"); }, 300);
    });
  }
  // The Back button shows the form again, ready to be sent.
  addEventListener("pageshow", (event) => {
    if (event.persisted) for (const form of all("form[data-once]")) delete form.dataset.sent;
  });

  // Leaving a changed form: a warning, and a draft to take up again.
  for (const form of all("form.record[data-once]")) {
    const key = "draft " + location.pathname;
    const inputs = () => all("input[name]:not([type=hidden]):not([type=password]):not([data-secret]), textarea, select", form);
    const read = () => inputs().map((input) => (input.type === "checkbox" || input.type === "radio" ? input.checked : input.value));
    const first = JSON.stringify(read());
    const isChanged = () => JSON.stringify(read()) !== first;
    addEventListener("beforeunload", (event) => { if (isChanged() && !form.dataset.sent) event.preventDefault(); });
    form.addEventListener("input", () => sessionStorage.setItem(key, JSON.stringify(read())));
    form.addEventListener("submit", () => sessionStorage.removeItem(key));
    for (const link of all("a[href]", form)) link.addEventListener("click", () => { sessionStorage.removeItem(key); form.dataset.sent = "1"; });
    const draft = sessionStorage.getItem(key);
    if (draft && draft !== first && !one("[data-problems]")) {
      const note = document.createElement("p");
      note.className = "notice draft";
      note.append(say("You left this form with changes.", "Vous avez quitté ce formulaire avec des modifications."));
      for (const [text, use] of [[say("Take them up", "Les reprendre"), true], [say("Discard", "Les abandonner"), false]]) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "second";
        button.textContent = text;
        button.addEventListener("click", () => {
          const values = JSON.parse(draft);
          if (use) inputs().forEach((input, at) => {
            if (typeof values[at] === "boolean") input.checked = values[at];
            else if (values[at] !== undefined) input.value = values[at];
          });
          else sessionStorage.removeItem(key);
          note.remove();
        });
        note.append(" ", button);
      }
      form.before(note);
    }
  }
  const problems = one("[data-problems]");
  if (problems) problems.focus();

  // Copy a secret.
  for (const button of all("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const input = document.getElementById(button.dataset.copy);
      input.select();
      await navigator.clipboard.writeText(input.value);
      button.textContent = say("Copied", "Copié");
    });
  }
  for (const input of all("[data-select]")) input.addEventListener("focus", () => input.select());

  // A time of day is completed when it is left.
  for (const input of all("[data-clock]")) {
    input.addEventListener("change", () => {
      const found = input.value.trim().match(/^(\d{1,2})(?:\s*[:hH.]?\s*(\d{2}))?\s*h?$/);
      if (found) input.value = found[1].padStart(2, "0") + ":" + (found[2] || "00");
    });
  }

  // A text box that names a record: an ARIA combobox.
  for (const input of all("[data-lookup]")) {
    const list = document.createElement("ul");
    list.id = input.id + "-options";
    list.className = "options";
    list.role = "listbox";
    list.hidden = true;
    input.after(list);
    for (const [name, value] of [["role", "combobox"], ["aria-expanded", "false"], ["aria-controls", list.id], ["aria-autocomplete", "list"]]) input.setAttribute(name, value);
    let timer, at = -1;
    const close = () => { list.hidden = true; at = -1; input.setAttribute("aria-expanded", "false"); input.removeAttribute("aria-activedescendant"); };
    const choose = (option) => { input.value = option.dataset.value; input.dispatchEvent(new Event("input", { bubbles: true })); clearTimeout(timer); close(); };
    const mark = (to) => {
      const options = all("li", list);
      at = (to + options.length) % options.length;
      options.forEach((option, place) => option.setAttribute("aria-selected", String(place === at)));
      input.setAttribute("aria-activedescendant", options[at].id);
    };
    const look = async () => {
      if (!input.value.trim() || /#\d+$/.test(input.value)) return close();
      const response = await fetch(input.dataset.lookup + encodeURIComponent(input.value) + "&per_page=8", { headers: { accept: "application/json" } });
      if (!response.ok) return close();
      const found = await response.json();
      list.replaceChildren(...found.map((record, place) => {
        const option = document.createElement("li");
        option.id = list.id + place;
        option.role = "option";
        option.dataset.value = record.name + " #" + record.id;
        option.textContent = record.name;
        option.addEventListener("mousedown", (event) => { event.preventDefault(); choose(option); });
        return option;
      }));
      list.hidden = found.length === 0;
      input.setAttribute("aria-expanded", String(found.length > 0));
      at = -1;
    };
    input.addEventListener("input", (event) => { if (event.isTrusted) { clearTimeout(timer); timer = setTimeout(look, 150); } });
    input.addEventListener("blur", close);
    input.addEventListener("keydown", (event) => {
      if (list.hidden) return;
      if (event.key === "ArrowDown") mark(at + 1);
      else if (event.key === "ArrowUp") mark(at - 1);
      else if (event.key === "Enter" && at >= 0) choose(list.children[at]);
      else if (event.key === "Escape") close();
      else return;
      event.preventDefault();
    });
  }

  // Ticking rows of a table: all of the page, ranges with Shift, a count on the button.
  for (const form of all("form.bulk")) {
    const boxes = all("input[name=ids]", form), whole = one("[data-all]", form), button = one("[data-bulk]", form);
    const label = button.textContent;
    let last;
    const count = () => {
      const ticked = boxes.filter((box) => box.checked).length;
      button.disabled = ticked === 0;
      button.textContent = ticked ? label + " (" + ticked + ")" : label;
      whole.checked = ticked === boxes.length;
      whole.indeterminate = ticked > 0 && ticked < boxes.length;
    };
    whole.hidden = false;
    whole.addEventListener("change", () => { for (const box of boxes) box.checked = whole.checked; count(); });
    boxes.forEach((box, place) => box.addEventListener("click", (event) => {
      if (event.shiftKey && last !== undefined) {
        for (let between = Math.min(last, place); between <= Math.max(last, place); between++) boxes[between].checked = box.checked;
      }
      last = place;
      count();
    }));
    addEventListener("pageshow", count);
    count();
  }

  // An open menu closes with Escape, or when the focus leaves it.
  for (const menu of all("details.me, details.export")) {
    menu.addEventListener("keydown", (event) => { if (event.key === "Escape") { menu.open = false; one("summary", menu).focus(); } });
    menu.addEventListener("focusout", (event) => { if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false; });
  }

  // Keys, outside of fields. Switched off by the cookie that the account page sets.
  if (document.cookie.includes("cx_keys=off")) return;
  const places = { h: "/ui", c: "/ui/phone-calls", k: "/ui/contacts", q: "/ui/routing", u: "/ui/customers", a: "/ui/audit-log" };
  const prefix = location.pathname.split("/ui")[0];
  let before = "", row = -1;
  const rows = all("tbody tr:has(a.open)");
  const move = (step) => {
    if (!rows.length) return;
    row = Math.max(0, Math.min(rows.length - 1, row + step));
    rows.forEach((each, place) => each.classList.toggle("at", place === row));
    one("a.open", rows[row]).focus();
  };
  const help = () => {
    const dialog = document.createElement("dialog");
    const keys = [["/", say("search", "rechercher")], ["g h", say("home", "accueil")], ["g c", say("calls", "appels")], ["g k", say("contacts", "contacts")], ["g u", say("customers", "clients")], ["g q", say("routing", "routage")], ["j k", say("next, previous row", "ligne suivante, précédente")], ["x", say("tick", "cocher")], ["e", say("edit", "modifier")], ["n", say("new", "ajouter")], ["Ctrl Enter", say("save", "enregistrer")]];
    const title = document.createElement("h2");
    title.textContent = say("Keys", "Raccourcis");
    dialog.append(title, ...keys.map(([key, text]) => {
      const line = document.createElement("p"), shown = document.createElement("kbd");
      shown.textContent = key;
      line.append(shown, " ", text);
      return line;
    }));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  };
  addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      const form = target.closest("form");
      if (form) { event.preventDefault(); form.requestSubmit(); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(target)) return;
    const key = event.key, after = before;
    before = key === "g" ? "g" : "";
    const click = (selector) => { const link = one(selector); if (link) link.click(); };
    if (after === "g" && places[key]) location.href = prefix + places[key];
    else if (key === "/") { const find = one("#q") || one("#search"); if (find) { event.preventDefault(); find.focus(); find.select(); } }
    else if (key === "j") move(1);
    else if (key === "k") move(-1);
    else if (key === "x" && rows[row]) { const box = one("input[name=ids]", rows[row]); if (box) box.click(); }
    else if (key === "e") click("[data-edit]");
    else if (key === "n") click("[data-new]");
    else if (key === "?") help();
  });

  // A file that is dropped on a form, and the progress of an import or a backup.
  for (const input of all("input[type=file]")) {
    input.form.ondragover = (event) => event.preventDefault();
    input.form.ondrop = (event) => { event.preventDefault(); input.files = event.dataTransfer.files; };
  }
  if (one("[data-progress]")) setTimeout(() => location.reload(), 1500);
})();
