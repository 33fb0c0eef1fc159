// The worker that keeps this page's files.

// The page is not worth waiting longer for than this; then it is kept at the next visit.
const PATIENCE = 10_000;

/** Starts the worker; resolves when the files that follow go through it, or cannot. */
export async function keep() {
  const workers = navigator.serviceWorker;
  // Only over https, or on this machine.
  if (!workers) return false;
  try {
    await workers.register("worker.js", { updateViaCache: "none" });
  } catch (error) {
    console.debug(error);
    return false;
  }
  if (workers.controller) return true;
  return new Promise((done) => {
    workers.addEventListener("controllerchange", () => done(true), { once: true });
    setTimeout(() => done(Boolean(workers.controller)), PATIENCE);
  });
}

/** The bytes of a file, unpacked if they are gzip's, as some servers have done already. */
export async function bytes(file) {
  const answer = await fetch(file);
  if (!answer.ok) throw new Error(`${file}: ${answer.status}`);
  const found = new Uint8Array(await answer.arrayBuffer());
  if (found[0] !== 0x1f || found[1] !== 0x8b) return found;
  const stream = new Blob([found]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
