import { parseSourceUrl } from '../base/source-urls.ts'
import { waitText } from '../base/store-waits.ts'
import type { CommandContext } from './command.ts'
import { adminClient } from './own-clients.ts'

/** The server knows after three seconds. */
const firstMs = 4000
const againMs = 3000
const bucketsMax = 10
const schemes = { s3: 's3', gcs: 'gs', azure: 'as' } as const

/**
 * What the server tells of a command; meanwhile, people are told which of the object stores that the URLs name
 * it waits for.
 */
export async function* withStoreWaits<Message>(
  context: CommandContext,
  urls: readonly string[],
  messages: AsyncIterable<Message>,
): AsyncGenerator<Message> {
  const buckets = new Set(urls.flatMap(bucketOf))
  const end = new AbortController()
  const told = tellWaits(context, [...buckets].slice(0, bucketsMax), end.signal)
  try {
    yield* messages
  } finally {
    end.abort()
    await told
  }
}

/** As the server is asked for it; none where the URL names something else, or makes no sense to us. */
function bucketOf(text: string): readonly string[] {
  try {
    const url = parseSourceUrl(text)
    return url.kind === 'http' || url.kind === 'pfs' ? [] : [`${schemes[url.kind]}://${url.bucket}`]
  } catch {
    return [] // the server says what is wrong with it
  }
}

/** Never rejects: a server may know nothing of it, or be gone, which the command itself tells. */
async function tellWaits(
  context: CommandContext,
  buckets: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const { clock, err } = context
  if (buckets.length === 0) return
  const client = adminClient(context)
  const told = new Set<string>()
  const startedMs = clock.monotonicMs()
  try {
    await clock.sleep(firstMs, signal)
    for (;;) {
      for (const bucket of buckets) {
        const { waits } = await client.listStoreWaits({ bucket }, { signal })
        for (const { waitedMs, notedMsAgo, error, ...store } of waits) {
          // Of a command before this one, which may have named another endpoint.
          if (Number(notedMsAgo) > clock.monotonicMs() - startedMs) continue
          const key = `${store.bucket} ${store.endpoint} ${waitedMs}`
          if (told.has(key)) continue
          told.add(key)
          const wait = { ...store, waitedMs: Number(waitedMs), error: error || undefined }
          await err.line(waitText(wait))
        }
      }
      await clock.sleep(againMs, signal)
    }
  } catch {
    return
  }
}
