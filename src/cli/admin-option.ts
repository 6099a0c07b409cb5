import { InvalidArgumentError, Option } from 'commander'

/** `--admin URL`, for each command that asks a running server. */
export function adminOption(): Option {
  return new Option('--admin <url>', 'its admin server (admin.listen)')
    .argParser(adminUrl)
    .default(new URL('http://127.0.0.1:9095'))
}

function adminUrl(text: string): URL {
  const url = URL.parse(text)
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new InvalidArgumentError('Expected a URL such as http://127.0.0.1:9095.')
  return url
}
