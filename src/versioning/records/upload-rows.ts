import type { Database } from '../../database/database.ts'
import { pagesOf } from '../../database/pages.ts'

/** A part of an upload as it is stored. */
export type UploadPartRow = {
  readonly upload: string
  readonly number: number
  readonly put_at: number
  readonly content: Uint8Array
}

/** The parts of all uploads. */
export function uploadPartPages(database: Database): AsyncGenerator<readonly UploadPartRow[]> {
  return pagesOf<UploadPartRow>(database, {
    sql: `SELECT upload, number, put_at, content FROM upload_parts
      WHERE (upload, number) > (?, ?) ORDER BY upload, number`,
    first: ['', 0],
    keyOf: ({ upload, number }: UploadPartRow) => [upload, number],
  })
}
