import { pagesOf } from '../../database/pages.ts'
import { pipelinesFinding } from '../pipelines-findings.ts'
import { isEntryName, isSecretName } from '../secrets/secret-check.ts'
import type { PipelinesCheckPorts } from './ports.ts'

/** A nonce, and a tag: there is text between them. */
const sealedBytesMin = 28

interface SecretRow {
  readonly [column: string]: string | number | null
  readonly name: string
  readonly revision: string
  readonly entries: string
  /** Null when the values are not there. */
  readonly sealed_revision: string | null
  readonly key_id: string | null
  readonly sealed_bytes: number | null
}

/** Secrets have values of the same revision. Whether a key opens them, only a server can tell. */
export async function checkSecrets({ database, run }: PipelinesCheckPorts): Promise<void> {
  run.stage = 'secrets'
  const query = {
    sql: `SELECT s.name, s.revision, s.entries, v.revision AS sealed_revision, v.key_id,
        LENGTH(v.sealed) AS sealed_bytes
      FROM secrets s LEFT JOIN secret_values v ON v.name = s.name WHERE s.name > ? ORDER BY s.name`,
    first: [''],
    keyOf: ({ name }: SecretRow) => [name],
  }
  for await (const page of pagesOf<SecretRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const row of page) {
      const problem = problemOf(row)
      if (problem === undefined) continue
      const what = `secret ${JSON.stringify(row.name.slice(0, 253))} ${problem}`
      await run.report({ kind: pipelinesFinding('secret-damaged'), subject: {}, what })
    }
  }
}

function problemOf(row: SecretRow): string | undefined {
  if (!isSecretName(row.name)) return 'has a name that none can have'
  if (!areEntries(row.entries)) return 'has entries that make no sense'
  if (row.sealed_revision === null) return 'has lost its values'
  if (row.sealed_revision !== row.revision) return 'has the values of another revision'
  const isSealed = (row.sealed_bytes ?? 0) >= sealedBytesMin
  if (!isSealed || !/^[0-9a-f]{16}$/.test(row.key_id ?? '')) return 'has values that make no sense'
  return undefined
}

function areEntries(text: string): boolean {
  try {
    const names: unknown = JSON.parse(text)
    return (
      Array.isArray(names) &&
      names.length > 0 &&
      names.every((name) => typeof name === 'string' && isEntryName(name))
    )
  } catch {
    return false
  }
}
