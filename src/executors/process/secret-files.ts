import { tarEnd, tarHeaders, tarPaddingBytes } from '../../base/tar.ts'
import type { SlotSecrets } from '../../pipelines/executor.ts'
import { shellQuoted } from './environment.ts'

/**
 * The files of secrets as an archive, which goes to the sandbox through a pipe: those of the first
 * directory are in `0`, and so on.
 */
export function secretArchive({ directories }: SlotSecrets): Buffer {
  const parts: Uint8Array[] = []
  for (const [index, { files }] of directories.entries()) {
    const name = String(index)
    parts.push(tarHeaders({ name, kind: 'directory', sizeBytes: 0, modifiedSeconds: 0 }))
    for (const [file, bytes] of files) {
      const entry = { kind: 'file', sizeBytes: bytes.length, modifiedSeconds: 0 } as const
      parts.push(tarHeaders({ ...entry, name: `${name}/${file}` }), bytes)
      parts.push(new Uint8Array(tarPaddingBytes(bytes.length)))
    }
  }
  return Buffer.concat([...parts, tarEnd])
}

/**
 * How the runner is told the values of secret variables: under names that mean nothing to the tools
 * which build the sandbox, and run with more rights than user code.
 */
export function secretVariables({ environment }: SlotSecrets): Readonly<Record<string, string>> {
  const values = Object.values(environment).map((value, index) => [variableName(index), value])
  return Object.fromEntries(values) as Readonly<Record<string, string>>
}

/** The same as lines of a shell. */
export function secretScript(secrets: SlotSecrets): string {
  const variables = Object.entries(secretVariables(secrets))
  return variables.map(([name, value]) => `export ${name}=${shellQuoted(value)}\n`).join('')
}

function variableName(index: number): string {
  return `pachyderm_secret_${index}`
}
