// Runs the simulator over many seeds: `npm run simulate -- --seed 1 --runs 100 --steps 300`.
//
// Prints a line for each seed, and of one that breaks a law the steps that are enough for it. Ends with 1 then.

import { parseArgs } from 'node:util'
import { verdict } from '../src/testing/simulation/simulation-run.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    runs: { type: 'string', default: '20' },
    steps: { type: 'string', default: '300' },
  },
})

const [first, runCount, stepCount] = [values.seed, values.runs, values.steps].map((text) => {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`not a number: ${text}`)
  return Number(text)
}) as [number, number, number] // the cast: three of three

for (let seed = first; seed < first + runCount; seed += 1) {
  const broken = await verdict(seed, stepCount)
  console.log(broken ?? `seed ${seed}: every law holds`)
  if (broken !== undefined) process.exitCode = 1
}
