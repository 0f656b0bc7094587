// Puts each picture above its edges, in one row: /pfs/out/montage.png.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readGrey, writeGrey } from './png.mjs'

const pfs = process.env.PFS ?? '/pfs'
const tile = 160
const gap = 8

/** Draws a picture into a tile, as large as fits, each point the nearest of the picture's. */
function draw(picture, { sheet, left, top }) {
  const scale = Math.max(picture.width, picture.height) / tile
  for (let row = 0; row < Math.floor(picture.height / scale); row += 1) {
    for (let column = 0; column < Math.floor(picture.width / scale); column += 1) {
      const from = Math.floor(row * scale) * picture.width + Math.floor(column * scale)
      sheet.grey[(top + row) * sheet.width + left + column] = picture.grey[from]
    }
  }
}

const names = readdirSync(join(pfs, 'edges')).toSorted()
const width = gap + names.length * (tile + gap)
const height = 2 * (tile + gap) + gap
const sheet = { width, height, grey: new Uint8Array(width * height).fill(64) }
for (const [at, name] of names.entries()) {
  const left = gap + at * (tile + gap)
  for (const [row, repo] of ['pictures', 'edges'].entries()) {
    const picture = readGrey(readFileSync(join(pfs, repo, name)))
    draw(picture, { sheet, left, top: gap + row * (tile + gap) })
  }
}
writeFileSync(join(pfs, 'out/montage.png'), writeGrey(sheet))
console.log(`${names.length} pictures: ${names.join(', ')}`)
