// Checks the imports of every file against the table in `.dependency-cruiser.mjs`.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'

interface Report {
  readonly summary: {
    readonly totalCruised: number
    readonly violations: readonly {
      readonly from: string
      readonly to: string
      readonly rule: { readonly name: string }
      readonly cycle?: readonly { readonly name: string }[]
    }[]
  }
}

const folders = ['src', 'test', 'tools', 'bench'].filter((folder) => existsSync(folder))
const program = 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs'
const options = ['--config', '.dependency-cruiser.mjs', '--output-type', 'json']
const output = execFileSync(process.execPath, [program, ...folders, ...options], {
  encoding: 'utf8',
  maxBuffer: 1 << 30,
})
const { summary } = JSON.parse(output) as Report

for (const { rule, from, to, cycle } of summary.violations) {
  const path = cycle === undefined ? [to] : cycle.map(({ name }) => name)
  console.log(`${rule.name}: ${[from, ...path].join(' -> ')}`)
}
// Without a TypeScript that it understands, the program sees no file at all and is content.
if (summary.totalCruised === 0) console.log('no file was read')
if (summary.violations.length > 0 || summary.totalCruised === 0) process.exitCode = 1
else console.log(`${summary.totalCruised} modules keep to their layers`)
