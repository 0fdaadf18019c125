// Keeps live regions fresh, estimates while the form changes, uploads with progress. Pages read well without it.

const JSON_ANSWER = { headers: { Accept: "application/json" } };
const NAMES = ["training", "validation"];
const status = document.querySelector("[role=status]");
const curve = document.querySelector("[data-curve]");
let points = [];

async function fetchPart(url, options = {}) {
  const answer = await fetch(url, { ...JSON_ANSWER, ...options });
  if (answer.status === 401) location.assign("/sign-in");
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer.json();
}

async function keepFresh(region) {
  let shown = {};
  while (!shown.over) {
    try {
      const part = document.hidden ? shown : await fetchPart(region.dataset.live);
      if (part.html !== shown.html) replace(region, part.html);
      points = part.points ?? [];
      draw();
      if (shown.status && part.status !== shown.status) status.textContent = `The job is ${part.status}.`;
      else if (status.dataset.lost) status.textContent = "";
      delete status.dataset.lost;
      if (["completed", "failed", "cancelled"].includes(part.status)) document.querySelector("[data-while-live]")?.remove();
      shown = part;
    } catch {
      status.textContent = "The connection was lost; trying again…";
      status.dataset.lost = "true";
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function replace(region, html) {
  const held = region.contains(document.activeElement) && document.activeElement.getAttribute("href");
  region.innerHTML = html;
  if (held) region.querySelector(`a[href="${CSS.escape(held)}"]`)?.focus();
}

function draw() {
  const losses = points.flatMap(([, ...values]) => values.filter((value) => value !== null));
  if (!losses.length) return;
  const [width, height, left, bottom] = [curve.clientWidth, 240, 44, 24];
  const [low, high, last] = [Math.min(...losses), Math.max(...losses), points.at(-1)[0] || 1];
  const x = (step) => left + (step / last) * (width - left - 8);
  const y = (loss) => 8 + ((high - loss) / (high - low || 1)) * (height - bottom - 8);
  const grid = [0, 1, 2, 3, 4].map((part) => {
    const loss = low + ((high - low) * part) / 4;
    return `<path class="grid" d="M${left} ${y(loss)}H${width - 8}"/><text x="${left - 8}" y="${y(loss) + 4}" text-anchor="end">${loss.toFixed(2)}</text>`;
  });
  const lines = NAMES.map((name, index) => {
    const measured = points.filter((point) => point[index + 1] != null);
    const path = measured.map((point, place) => `${place ? "L" : "M"}${x(point[0])} ${y(point[index + 1])}`).join("");
    return `<path class="${name}" d="${path}"/>`;
  });
  const ends = `<text x="${left}" y="${height - 4}">0</text><text x="${width - 8}" y="${height - 4}" text-anchor="end">step ${last}</text>`;
  curve.setAttribute("viewBox", `0 0 ${width} ${height}`);
  curve.setAttribute("aria-label", `Loss curve: from ${losses[0].toFixed(3)} to ${losses.at(-1).toFixed(3)} in ${last} steps`);
  curve.innerHTML = grid.join("") + lines.join("") + ends;
}

function estimateWhileChanging(form) {
  const figures = form.querySelector("[data-figures]");
  let latest = new AbortController();
  let timer;
  form.addEventListener("input", (event) => {
    if (event.target.name === "name") return;
    clearTimeout(timer);
    latest.abort();
    latest = new AbortController();
    timer = setTimeout(async () => {
      try {
        const choice = new URLSearchParams(new FormData(form));
        figures.innerHTML = (await fetchPart(`${form.dataset.estimate}?${choice}`, { signal: latest.signal })).html;
      } catch (error) {
        if (error.name !== "AbortError") figures.textContent = error.message;
      }
    }, 150);
  });
}

function uploadWithProgress(form) {
  const [file, bar, problem, button] = ["[type=file]", "progress", "[role=alert]", "button"].map((each) => form.querySelector(each));
  button.disabled = false;
  file.addEventListener("change", () => (form.elements.name.value ||= file.files[0]?.name.replace(/\.[^.]*$/, "") ?? ""));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const request = new XMLHttpRequest();
    const end = (message) => {
      bar.hidden = !(problem.hidden = !message) || Boolean(message);
      button.disabled = !message;
      problem.textContent = message;
    };
    request.upload.onprogress = ({ loaded, total }) => (bar.value = loaded / total);
    request.onload = () => (request.status === 201 ? location.reload() : end(JSON.parse(request.response).error));
    request.onerror = () => end("The upload broke off: nothing is kept of it. Check your connection and send it again.");
    request.open("POST", `/datasets?${new URLSearchParams({ name: form.elements.name.value })}`);
    request.setRequestHeader("Accept", "application/json");
    end("");
    bar.hidden = false;
    request.send(file.files[0]);
  });
}

addEventListener("resize", draw);
document.querySelectorAll("[data-live]").forEach(keepFresh);
document.querySelectorAll("[data-estimate]").forEach(estimateWhileChanging);
document.querySelectorAll("[data-upload]").forEach(uploadWithProgress);
