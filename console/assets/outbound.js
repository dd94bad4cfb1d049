// The page of mail to others.

function startOutbound() {
  const part = (id) => document.getElementById(id);

  function problem(form, typed) {
    if (form.id === "except" && !typed(form, "domain").trim()) {
      return ["domain", "Please give a domain, like old.example.org."];
    }
    if (form.id === "through" && !typed(form, "password")) {
      return ["password", "Please give the password of your account there."];
    }
    return null;
  }

  function show({ outbound }, prepare) {
    const rows = outbound.exceptions.map(({ domain, allow }) =>
      fillTemplate(allow, { domain }, prepare));
    part("list").replaceChildren(...rows);
    part("none").hidden = rows.length > 0;
    part("through-now").replaceChildren(...(outbound.smarthost
      ? [fillTemplate("smarthost", outbound.smarthost, prepare, {})] : []));
    const hours = (name) => part("hours").querySelector(`[data-field=${name}]`);
    hours("warn").value = outbound.warn_after_hours;
    hours("give_up").value = outbound.give_up_after_hours;
  }

  function clear() {
    part("list").replaceChildren();
    part("through-now").replaceChildren();
  }

  startProof({ look: "/outbound/see", content: "outbound", problem, show, clear });
}

startOutbound();
