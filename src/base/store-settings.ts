import { InvalidArgumentError } from './errors.ts'

/** Of a store that is like S3, where the environment says nothing else. */
export interface StoreSettings {
  readonly endpoint?: string
  readonly region?: string
}

const names: readonly string[] = ['endpoint', 'region']

/** A URL, and what is behind its question mark: `s3://BUCKET/KEY?endpoint=https://…&region=…`. */
export function partedSettings(text: string): { readonly bare: string; readonly query?: string } {
  const [bare = '', query] = text.split(/\?(.*)$/s)
  return query === undefined ? { bare } : { bare, query }
}

/** @throws {InvalidArgumentError} that says what is wrong with it, and not of what it is. */
export function parseStoreSettings(query: string): StoreSettings {
  const given = new URLSearchParams(query)
  const unknown = [...given.keys()].find((name) => !names.includes(name))
  if (unknown !== undefined) {
    throw new InvalidArgumentError(
      `it has the setting ${JSON.stringify(unknown)}: there are endpoint and region`,
    )
  }
  const endpoint = given.get('endpoint') ?? ''
  const region = given.get('region') ?? ''
  if (endpoint !== '') {
    const url = URL.parse(endpoint)
    const isPlain =
      url?.username === '' &&
      url.password === '' &&
      url.search === '' &&
      /^https?:$/.test(url.protocol)
    if (!isPlain) {
      throw new InvalidArgumentError(
        'its endpoint is no address such as https://storage.example.com',
      )
    }
  }
  if (!/^[A-Za-z0-9-]{0,64}$/.test(region)) throw new InvalidArgumentError('its region is none')
  return { ...(endpoint !== '' && { endpoint }), ...(region !== '' && { region }) }
}

/** Whether a query has settings of a store and nothing else, which anybody may see. */
export function areStoreSettings(query: string): boolean {
  try {
    parseStoreSettings(query)
    return true
  } catch (error) {
    if (error instanceof InvalidArgumentError) return false
    throw error
  }
}
