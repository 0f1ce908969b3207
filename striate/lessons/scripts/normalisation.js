// The same sets as striate/lessons/normalisation.py finds by the gradient of torch's layers.
const together = {
  batch: (a, b) => a[1] === b[1],
  layer: (a, b) => a[0] === b[0],
  instance: (a, b) => a[0] === b[0] && a[1] === b[1],
  group: (a, b, channels, groups) => a[0] === b[0]
    && Math.floor(a[1] / (channels / groups)) === Math.floor(b[1] / (channels / groups)),
};
// Images x channels: whether they share the statistics of (image, channel).
const shared = (norm, image, channel, shape, groups) => range(shape[0]).map((n) => range(shape[1]).map((c) =>
  together[norm]([n, c], [image, channel], shape[1], groups)));
const statistics = (norm, maps, image, channel, groups) => {
  const mask = shared(norm, image, channel, [maps.length, maps[0].length], groups);
  const values = maps.flatMap((one, n) => one.flatMap((map, c) => (mask[n][c] ? map.flat() : [])));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const spread = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return [values.length, mean, Math.sqrt(spread)];
};

const start = () => {
  const { maps, shape, names } = given();
  const [images, channels] = shape, places = shape[2] * shape[3];
  // The order in which the page draws the faces: the top, then for each height the right and the left.
  const order = [...range(images).flatMap((n) => range(channels).map((c) => [n, c])),
    ...range(places).flatMap(() => [...range(channels).map((c) => [images - 1, c]), ...range(images).map((n) => [n, channels - 1])])];
  const show = () => {
    const image = number("image"), channel = number("channel"), groups = number("groups");
    sayValue("image", String(image));
    sayValue("channel", String(channel));
    for (const norm of Object.keys(names)) {
      const mask = shared(norm, image, channel, shape, groups);
      byId(norm).querySelectorAll(".cell").forEach((cell, place) => {
        const [n, c] = order[place];
        cell.classList.toggle("on", mask[n][c]);
        cell.classList.toggle("this", n === image && c === channel);
      });
      const [count, mean, deviation] = statistics(norm, maps, image, channel, groups);
      say(`${norm}-said`, `${count} entries: \u03bc = ${said(mean)}, \u03c3 = ${said(deviation)}`);
    }
  };
  listen(["image", "channel", "groups"], show);
  show();
};
if (typeof document !== "undefined") start();
