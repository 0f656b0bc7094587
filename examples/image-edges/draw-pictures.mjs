// Draws the pictures of this example: `draw-pictures.mjs DIR`.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeGrey } from './png.mjs'

const width = 240
const height = 240

/** How long a point of the plane takes to get away, as a shade. */
function mandelbrot(x, y) {
  const [a, b] = [x * 1.4 - 0.6, y * 1.4]
  let [re, im] = [0, 0]
  for (let step = 0; step < 64; step += 1) {
    ;[re, im] = [re * re - im * im + a, 2 * re * im + b]
    if (re * re + im * im > 4) return (step * 16) % 256
  }
  return 0
}

/** Balls in a row, lit from the upper left. */
function balls(x, y) {
  const u = (((x + 1) * 1.5) % 1) * 2 - 1
  const v = (((y + 1) * 1.5) % 1) * 2 - 1
  const depth = 0.8 - u * u - v * v
  if (depth < 0) return 40
  return 60 + 190 * Math.max(0, (-u - v + 2 * Math.sqrt(depth)) / 3)
}

function waves(x, y) {
  return 128 + 120 * Math.sin(14 * Math.hypot(x, y)) * Math.cos(6 * x)
}

const [directory] = process.argv.slice(2)
for (const shade of [mandelbrot, balls, waves]) {
  const grey = new Uint8Array(width * height)
  for (let at = 0; at < grey.length; at += 1) {
    const x = ((at % width) / width) * 2 - 1
    const y = (Math.floor(at / width) / height) * 2 - 1
    grey[at] = shade(x, y)
  }
  writeFileSync(join(directory, `${shade.name}.png`), writeGrey({ width, height, grey }))
}
