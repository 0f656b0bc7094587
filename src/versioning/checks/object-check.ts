import type { CheckRun } from '../../base/check-run.ts'
import { DataLossError } from '../../base/errors.ts'
import type { Database, Transaction } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'
import type { Content } from '../../storage/contents.ts'
import { contentOfName, isNameOf } from '../object-names.ts'
import { decodeContent, encodeContent } from '../staging/staged-bytes.ts'
import { versioningFinding } from '../versioning-findings.ts'

interface Ports {
  readonly database: Database
  readonly run: CheckRun
}

export type ObjectRow = { readonly hash: string; readonly content: Uint8Array }

export function objectPages(database: Database): AsyncGenerator<readonly ObjectRow[]> {
  return pagesOf<ObjectRow>(database, {
    sql: 'SELECT hash, content FROM objects WHERE hash > ? ORDER BY hash',
    first: [''],
    keyOf: ({ hash }: ObjectRow) => [hash],
  })
}

/** The content of an object's row; undefined where it makes no sense, which the check tells. */
export function contentOf({ hash, content }: ObjectRow): Content | undefined {
  try {
    const decoded = decodeContent(content)
    return isNameOf(hash, decoded) ? decoded : undefined
  } catch (error) {
    if (error instanceof DataLossError) return undefined
    throw error
  }
}

type TagRow = { readonly name: string; readonly hash: string; readonly found: string | null }

/** Objects have the content that their names say, and tags name objects. */
export async function checkObjects({ database, run }: Ports): Promise<void> {
  run.stage = 'objects'
  for await (const page of objectPages(database)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const row of page) {
      if (contentOf(row) !== undefined) continue
      await run.report({
        kind: versioningFinding('object-damaged'),
        subject: { object: row.hash },
        what: `object ${row.hash} has a row whose content is not what its name says`,
      })
    }
  }
  const query = {
    sql: `SELECT t.name, t.hash, o.hash AS found FROM object_tags t
      LEFT JOIN objects o ON o.hash = t.hash WHERE t.name > ? ORDER BY t.name`,
    first: [''],
    keyOf: ({ name }: TagRow) => [name],
  }
  for await (const page of pagesOf<TagRow>(database, query)) {
    run.throwIfCancelled()
    run.counts.rows += page.length
    for (const { name, hash, found } of page) {
      if (found === null) await reportTag({ database, run }, name, hash)
    }
  }
}

async function reportTag({ database, run }: Ports, tag: string, hash: string): Promise<void> {
  const content = contentOfName(hash)
  const repair =
    content === undefined
      ? {}
      : { repair: () => database.transact((tx) => restoreObject(tx, tag, hash, content)) }
  await run.report({
    kind: versioningFinding('tag-without-object'),
    subject: { tag, object: hash },
    what: `tag ${JSON.stringify(tag)} names the object ${hash}, which does not exist`,
    ...repair,
  })
}

/** A name that says where its content is stands for its row. */
async function restoreObject(
  tx: Transaction,
  tag: string,
  hash: string,
  content: Content,
): Promise<boolean> {
  const still = await tx.get('SELECT 1 FROM object_tags WHERE name = ? AND hash = ?', tag, hash)
  if (still === undefined) return false
  const made = await tx.run(
    'INSERT INTO objects (hash, content) VALUES (?, ?) ON CONFLICT (hash) DO NOTHING',
    hash,
    encodeContent(content),
  )
  return made > 0
}
