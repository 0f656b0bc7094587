// Picks the model with the least error: /pfs/out/best.json, and all of them in /pfs/out/models.csv.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const pfs = process.env.PFS ?? '/pfs'
const models = readdirSync(join(pfs, 'train'))
  .map((name) => JSON.parse(readFileSync(join(pfs, 'train', name), 'utf8')))
  .toSorted((a, b) => a.error - b.error)
const rows = models.map(({ degree, waves, error }) => `${degree},${waves},${error.toFixed(3)}`)
writeFileSync(join(pfs, 'out/models.csv'), `${['degree,waves,error', ...rows].join('\n')}\n`)
writeFileSync(join(pfs, 'out/best.json'), `${JSON.stringify(models[0], null, 2)}\n`)
