// The page of what others report.

function startReports() {
  const part = (id) => document.getElementById(id);

  function show({ reports }, prepare) {
    const rows = reports.lines.map((line) => fillTemplate("report", line, prepare));
    part("list").replaceChildren(...rows);
    part("nobody").hidden = rows.length > 0;
  }

  const clear = () => part("list").replaceChildren();
  const problem = () => null;
  startProof({ look: "/reports/see", content: "reports", problem, show, clear });
}

startReports();
