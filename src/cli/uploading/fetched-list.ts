import { InvalidArgumentError, UnavailableError } from '../../base/errors.ts'
import { shownSource } from '../../base/source-urls.ts'

const listBytesMax = 64 * 1024 * 1024

/** The text at a URL of the web. @throws {DomainError} with advice. */
export async function fetchList(url: string): Promise<string> {
  const name = shownSource(url)
  const response = await fetch(url).catch((error: unknown) => {
    const cause = error instanceof Error ? error.cause : undefined
    const reason = cause instanceof Error ? cause.message : 'no answer'
    throw new UnavailableError(`cannot fetch the list ${name}: ${reason}`, { cause: error })
  })
  if (!response.ok) {
    throw new InvalidArgumentError(
      `cannot fetch the list ${name}: its server answers ${response.status}`,
    )
  }
  const decoder = new TextDecoder()
  let text = ''
  for await (const slice of response.body ?? []) {
    text += decoder.decode(slice as Uint8Array, { stream: true })
    if (text.length > listBytesMax) {
      throw new InvalidArgumentError(`the list ${name} is larger than 64 MiB: split it`)
    }
  }
  return text + decoder.decode()
}
