// Finds the edges in one picture: /pfs/pictures/<name>.png in, /pfs/out/<name>.png out, white where
// brightness changes (Sobel's operator).

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readGrey, writeGrey } from './png.mjs'

const pfs = process.env.PFS ?? '/pfs'

function findEdges({ width, height, grey }) {
  const edges = new Uint8Array(width * height)
  for (let row = 1; row < height - 1; row += 1) {
    for (let column = 1; column < width - 1; column += 1) {
      const at = row * width + column
      const [a, b, c] = grey.subarray(at - width - 1, at - width + 2)
      const [d, , f] = grey.subarray(at - 1, at + 2)
      const [g, h, i] = grey.subarray(at + width - 1, at + width + 2)
      const across = c + 2 * f + i - a - 2 * d - g
      const down = g + 2 * h + i - a - 2 * b - c
      edges[at] = Math.min(255, Math.hypot(across, down))
    }
  }
  return { width, height, grey: edges }
}

for (const name of readdirSync(join(pfs, 'pictures'))) {
  const picture = readGrey(readFileSync(join(pfs, 'pictures', name)))
  const edges = findEdges(picture)
  writeFileSync(join(pfs, 'out', name), writeGrey(edges))
  const strong = edges.grey.filter((value) => value > 128).length
  const percent = ((100 * strong) / edges.grey.length).toFixed(1)
  console.log(`${name}: ${picture.width} x ${picture.height}, ${percent} % edges`)
}
