// The page of the people.

function startPeople() {
  const part = (id) => document.getElementById(id);
  const has = (form, name) => form.querySelector(`[data-field=${name}]`);

  function problem(form, typed, length) {
    if (has(form, "address") && !typed(form, "address").trim()) {
      return ["address", "Please give a mail address, like anna@example.org."];
    }
    if (has(form, "password") && length(form, "password") < 10) {
      return ["password", "That is too short. Please use at least 10 characters."];
    }
    if (has(form, "password") && length(form, "password") > 512) {
      return ["password", "That is too long. Please use at most 512 characters."];
    }
    return null;
  }

  function show(told, prepare) {
    const rows = told.addresses.map((address) => fillTemplate("person", { address }, prepare));
    part("list").replaceChildren(...rows);
    part("nobody").hidden = rows.length > 0;
  }

  const clear = () => part("list").replaceChildren();
  startProof({ look: "/people/list", content: "people", problem, show, clear });
}

startPeople();
