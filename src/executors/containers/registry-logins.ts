/** What a registry asks for before it hands out an image. */
export interface RegistryLogin {
  readonly username: string
  readonly password: string
  readonly serveraddress: string
}

const defaultRegistry = 'docker.io'
/** What logins for the default registry are written under. */
const defaultRegistryNames = ['docker.io', 'index.docker.io', 'registry-1.docker.io']

/**
 * The registry of an image's name: what comes before the first slash, where that is a host.
 * `python:3.12` is of `docker.io`.
 */
export function registryOf(image: string): string {
  const [first = '', ...rest] = image.split('/')
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost')
  return isHost ? first : defaultRegistry
}

/**
 * The login for an image's registry in documents as Docker's `config.json` has them; undefined when
 * none of them has one. What is no such document has none.
 */
export function loginFor(image: string, documents: readonly string[]): RegistryLogin | undefined {
  const registry = registryOf(image)
  const names = defaultRegistryNames.includes(registry) ? defaultRegistryNames : [registry]
  for (const document of documents) {
    for (const [server, login] of Object.entries(loginsIn(document))) {
      const host = server.replace(/^https?:\/\//, '').split('/')[0] ?? ''
      if (!names.includes(host)) continue
      const found = readLogin(login, server)
      if (found !== undefined) return found
    }
  }
  return undefined
}

function loginsIn(document: string): Readonly<Record<string, unknown>> {
  const parsed = parsedObject(document)
  const { auths } = parsed
  // Kubernetes has an older kind of secret that holds what is in `auths` by itself.
  return isRecord(auths) ? auths : parsed
}

function readLogin(login: unknown, serveraddress: string): RegistryLogin | undefined {
  if (!isRecord(login)) return undefined
  const { username, password, auth } = login
  if (typeof username === 'string' && typeof password === 'string') {
    return { username, password, serveraddress }
  }
  if (typeof auth !== 'string') return undefined
  const text = Buffer.from(auth, 'base64').toString()
  const colon = text.indexOf(':')
  if (colon < 1) return undefined
  return { username: text.slice(0, colon), password: text.slice(colon + 1), serveraddress }
}

function parsedObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(text)
    return isRecord(parsed) ? parsed : {}
  } catch {
    return {}
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
