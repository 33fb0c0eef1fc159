// The zoo's catalogue: cards by task and by words.
for (const zoo of document.querySelectorAll(".zoo")) {
  const field = zoo.querySelector("input");
  const buttons = [...zoo.querySelectorAll("button")];
  const cards = [...zoo.querySelectorAll("li")];
  let task = "";

  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const card of cards) {
      const fits =
        (!task || card.dataset.tasks.split(" ").includes(task)) &&
        words.every((word) => card.dataset.words.includes(word));
      card.hidden = !fits;
      n += fits;
    }
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.task === task));
    }
    zoo.querySelector(".zoo-count").textContent = zoo.dataset.count.replace("{n}", n);
    zoo.querySelector(".zoo-none").hidden = n > 0;
  };

  field.addEventListener("input", show);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      task = button.dataset.task;
      show();
    });
  }
  show();
}
