// Makes what is published, in dist/: JavaScript with its declarations, and the files that the code reads.

import { spawnSync } from 'node:child_process'
import { cpSync, globSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const compiler = 'node_modules/@typescript/native/bin/tsc'

rmSync('dist', { recursive: true, force: true })
const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.build.json'], {
  stdio: 'inherit',
})

if (status === 0) {
  const assets = globSync('**/*.{wasm,sql,sh,json,html,css,svg}', {
    cwd: 'src',
    exclude: ['testing/**'],
  })
  for (const asset of assets) cpSync(join('src', asset), join('dist', asset))
  console.log(`dist is built, with ${assets.length} assets`)
} else process.exitCode = 1
