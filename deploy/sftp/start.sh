#!/bin/sh
# Starts the SFTP server. The host key is made at the first start and kept in a volume: publishers and Parties pin it.
set -eu

host_key=/etc/ssh/host_key/ssh_host_ed25519_key
if [ ! -f "$host_key" ]; then
  ssh-keygen -q -t ed25519 -N '' -C smki-sftp -f "$host_key"
fi

# Copied, because sshd refuses keys in files that somebody other than root may own, as the mounted ones do.
install -d -m 755 /run/sshd /etc/ssh/accounts
for account in publisher party; do
  install -m 644 "/etc/ssh/offered/$account" "/etc/ssh/accounts/$account"
done

exec /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config
