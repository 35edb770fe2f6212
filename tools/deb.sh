#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes BUILD/samsvar_VERSION_ARCH.deb of what `make install` installs: program, library, plug-ins, man page, completions,
# the service's unit and its settings. Needs dpkg-dev; with lintian the package is checked too. deb.sh BUILD
set -eu
build=$1
version=$(sed -n 's/^#define SV_VERSION "\(.*\)"/\1/p' cli/cmd.h)-1
arch=$(dpkg --print-architecture)
root=$build/deb
rm -rf "$root"
mkdir -p "$root/DEBIAN"
make -s --no-print-directory install B="$build" PREFIX=/usr DESTDIR="$root"
strip --strip-unneeded "$root/usr/bin/samsvar"
[ -z "$(ls "$root"/usr/lib/samsvar/ 2>/dev/null)" ] || strip --strip-unneeded "$root"/usr/lib/samsvar/*.so
# The static library and its headers are a package of their own elsewhere; this one is the program.
rm -rf "$root/usr/lib/libsamsvar.a" "$root/usr/include"
rmdir "$root/usr/lib/samsvar" 2>/dev/null || true
chmod 644 "$root"/usr/lib/samsvar/*.so 2>/dev/null || true

put() { install -D -m 644 "$1" "$root/$2"; }
put packaging/samsvar.service lib/systemd/system/samsvar.service
put packaging/models etc/samsvar/models
put packaging/samsvar.default etc/default/samsvar
doc=$root/usr/share/doc/samsvar
mkdir -p "$doc" "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" \
    "$root/usr/share/fish/vendor_completions.d" "$root/usr/share/lintian/overrides"
"$build/samsvar" completion bash >"$root/usr/share/bash-completion/completions/samsvar"
"$build/samsvar" completion zsh >"$root/usr/share/zsh/vendor-completions/_samsvar"
"$build/samsvar" completion fish >"$root/usr/share/fish/vendor_completions.d/samsvar.fish"
gzip -9nf "$root/usr/share/man/man1/samsvar.1"
cat >"$doc/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: samsvar

Files: *
Copyright: 2026 The Samsvar authors
License: Apache-2.0
 On Debian systems the full text of the Apache License, Version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
END
date=$(date -u -R -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}")
printf 'samsvar (%s) unstable; urgency=medium\n\n  * Packaged from the source tree.\n\n -- Samsvar maintainers <maintainers@samsvar.example>  %s\n' \
    "$version" "$date" | gzip -9n >"$doc/changelog.Debian.gz"
printf '/etc/samsvar/models\n/etc/default/samsvar\n' >"$root/DEBIAN/conffiles"
mkdir -p "$build/deb-shlibs/debian"
printf 'Source: samsvar\n\nPackage: samsvar\nArchitecture: any\n' >"$build/deb-shlibs/debian/control"
program=$(cd "$root" && pwd)/usr/bin/samsvar
depends=$(cd "$build/deb-shlibs" && dpkg-shlibdeps -O "$program" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
cat >"$root/DEBIAN/control" <<END
Package: samsvar
Version: $version
Section: science
Priority: optional
Architecture: $arch
Maintainer: Samsvar maintainers <maintainers@samsvar.example>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends
Description: reasoning models, trained and served with the same bits on every chip
 One program trains reasoning models, verifies that chips agree bit by bit, and
 serves models behind an OpenAI-compatible API with a chat page. No answer
 depends on who else is asking.
END
cat >"$root/DEBIAN/postinst" <<'END'
#!/bin/sh
set -e
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
END
cat >"$root/DEBIAN/postrm" <<'END'
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
END
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/postrm"
printf '%s\n' 'samsvar: initial-upload-closes-no-bugs' 'samsvar: maintainer-script-calls-systemctl' >"$root/usr/share/lintian/overrides/samsvar"
(cd "$root" && find usr etc lib -type f -printf '%P\n' >/dev/null && find usr lib etc -type f | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums)
find "$root" -type d -exec chmod 755 {} +
file=$build/samsvar_${version}_$arch.deb
dpkg-deb --root-owner-group --build "$root" "$file" >/dev/null
echo "$file"
if command -v lintian >/dev/null 2>&1; then
    lintian --fail-on error,warning "$file" && echo "lintian: clean"
else
    echo "deb: lintian is not installed, so the package was not checked"
fi
