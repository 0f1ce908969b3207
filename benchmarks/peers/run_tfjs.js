// node run_tfjs.js MODEL.json PIXELS OUT SHAPE: predictions of float32 pixels [N, H, W, C] by TensorFlow.js, as float32.
const fs = require('fs');
const path = require('path');
const tf = require('@tensorflow/tfjs');

const [file, pixels, out, shape] = process.argv.slice(2);

function bytes(name) {
  const held = fs.readFileSync(name);
  return held.buffer.slice(held.byteOffset, held.byteOffset + held.length);
}

async function run() {
  const found = JSON.parse(fs.readFileSync(file, 'utf8'));
  const [group] = found.weightsManifest;
  const handler = {load: async () => ({
    modelTopology: found.modelTopology,
    weightSpecs: group.weights,
    weightData: bytes(path.join(path.dirname(file), group.paths[0])),
  })};
  const model = await tf.loadLayersModel(handler);
  const images = tf.tensor(new Float32Array(bytes(pixels)), shape.split('x').map(Number));
  const predictions = model.predict(images);
  fs.writeFileSync(out, Buffer.from((await predictions.data()).buffer));
  console.log(tf.version.tfjs);
}

run();
