import type { ReadTransaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import { atomsOf } from '../inputs.ts'
import { pipelinesFinding } from '../pipelines-findings.ts'
import type { PipelineSpec } from '../specs.ts'
import type { PipelinesCheckPorts } from './ports.ts'

/** A spec as far as it must be sound for its branches to be told. */
export function parseSpec(name: string, text: string): PipelineSpec | undefined {
  try {
    const spec = JSON.parse(text) as PipelineSpec
    const atoms = atomsOf(spec.input)
    const isSound =
      String(spec.name) === name &&
      typeof spec.outputBranch === 'string' &&
      Array.isArray(spec.transform.command) &&
      (atoms.length > 0 || spec.spout === true) &&
      atoms.every(({ repo, branch, glob }) => [repo, branch, glob].every(isText))
    return isSound ? spec : undefined
  } catch {
    return undefined
  }
}

function isText(value: unknown): boolean {
  return typeof value === 'string'
}

/** What stands for bytes that are not UTF-8 when a text is read; or it is part of a spec. */
const replacement = '\ufffd'

/** What is wrong with a spec that is not `isStoredText`. */
export const notUtf8 = 'holds bytes that are not UTF-8'

/**
 * Whether the spec that is stored is the text as which it was read: bytes that are not UTF-8 are read as
 * others.
 */
export async function isStoredText(
  tx: ReadTransaction,
  { id, version, text }: { readonly id: string; readonly version: number; readonly text: string },
): Promise<boolean> {
  if (!text.includes(replacement)) return true
  const same = 'SELECT 1 FROM pipeline_versions WHERE pipeline_id = ? AND version = ? AND spec = ?'
  return (await tx.get(same, id, version, text)) !== undefined
}

type VersionRow = { readonly pipeline_id: string; readonly version: number }

type UserRow = { readonly pipeline: string; readonly spec: string; readonly isCurrent: number }

/** A job that ran the version, for its pipeline's name. */
const user = `SELECT j.pipeline, v.spec, (SELECT COUNT(*) FROM pipelines p
    WHERE p.id = v.pipeline_id AND p.version = v.version) AS isCurrent
  FROM pipeline_versions v JOIN jobs j ON j.sequence = (SELECT sequence FROM jobs b
    WHERE b.pipeline_id = v.pipeline_id AND b.pipeline_version = v.version LIMIT 1)
  WHERE v.pipeline_id = ? AND v.version = ?`

/** What jobs ran as former versions of pipelines, or of pipelines that were deleted. */
export async function checkFormerSpecs({ database, run }: PipelinesCheckPorts): Promise<void> {
  run.stage = 'former specs'
  const query = {
    sql: `SELECT pipeline_id, version FROM pipeline_versions
      WHERE (pipeline_id, version) > (?, ?) ORDER BY pipeline_id, version`,
    first: ['', Number.MIN_SAFE_INTEGER],
    keyOf: ({ pipeline_id: id, version }: VersionRow) => [id, version],
  }
  for await (const page of pagesOf<VersionRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const { pipeline_id: id, version } of page) {
      const { row, isStored } = await database.read(async (tx) => {
        const found = await tx.get<UserRow>(user, id, version)
        if (found === undefined) return { row: undefined, isStored: true }
        return { row: found, isStored: await isStoredText(tx, { id, version, text: found.spec }) }
      })
      // The spec of a pipeline as it is now has been looked at.
      if (row === undefined || row.isCurrent > 0) continue
      const isSound = parseSpec(row.pipeline, row.spec) !== undefined
      if (isSound && isStored) continue
      await run.report({
        kind: pipelinesFinding('spec-damaged'),
        subject: { pipeline: row.pipeline },
        what: `version ${version} of pipeline ${row.pipeline}, which jobs ran, has a spec that ${isSound ? notUtf8 : 'makes no sense'}`,
      })
    }
  }
}

/** The specs that jobs ran; those of one pipeline come one after the other. */
export class RanSpecs {
  #key = ''
  #spec: PipelineSpec | undefined

  /** Undefined where it is not there, or makes no sense. */
  async of(
    tx: ReadTransaction,
    job: { readonly pipeline: string; readonly pipeline_id: string; readonly version: number },
  ): Promise<PipelineSpec | undefined> {
    const key = `${job.pipeline_id} ${job.version} ${job.pipeline}`
    if (key === this.#key) return this.#spec
    const row = await tx.get<{ readonly spec: string }>(
      'SELECT spec FROM pipeline_versions WHERE pipeline_id = ? AND version = ?',
      job.pipeline_id,
      job.version,
    )
    this.#key = key
    this.#spec = row === undefined ? undefined : parseSpec(job.pipeline, row.spec)
    return this.#spec
  }
}
