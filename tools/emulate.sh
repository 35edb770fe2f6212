#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the AVX-512 kernels as true instructions on a machine that has none: Debian's kernel boots under Bochs, whose
# processor has AVX-512 F, BW, DQ, VL and VNNI, from an image that this script makes (no root, no mounts). The guest runs the
# conformance suite on cpu:avx512, every seventh case, and two SFT steps against test/golden/bits.txt. Tens of minutes:
# emulate.sh [SECONDS] waits at most so long. Exit 0: the guest printed its last line; 77: something that is needed is not there.
# Bochs 2.7 doubles the 8-bit displacement of EVEX VPINSRB from memory; no kernel has that form now.
set -eu
b=${B:-build}
dir=$b/emulate
seconds=${1:-5400}

need=""
for pair in bochs-bin:bochs xorriso:xorriso cpio:cpio dpkg-deb:dpkg apt-get:apt script:bsdutils; do
    command -v "${pair%%:*}" >/dev/null || need="$need ${pair##*:}"
done
[ -f /usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_term_gui.so ] || need="$need bochs-term"
[ -f /usr/share/bochs/BIOS-bochs-latest ] || need="$need bochsbios"
[ -f /usr/share/bochs/VGABIOS-lgpl-latest ] || need="$need vgabios"
[ -f /usr/lib/ISOLINUX/isolinux.bin ] || need="$need isolinux"
[ -f /usr/lib/syslinux/modules/bios/ldlinux.c32 ] || need="$need syslinux-common"
[ -z "$need" ] || { echo "emulate: needs these Debian packages:$need"; exit 77; }
mkdir -p "$dir"

# The kernel: the file of Debian's package, kept; nothing is installed.
if [ ! -f "$dir/vmlinuz" ]; then
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -1)
    if [ -z "$package" ] || ! (cd "$dir" && apt-get download -q "$package" >kernel.log 2>&1); then
        echo "emulate: the package linux-image-cloud-amd64 could not be downloaded (network, apt-get update)"
        exit 77
    fi
    dpkg-deb --fsys-tarfile "$dir"/linux-image-*.deb | tar -xf - -C "$dir" --wildcards './boot/vmlinuz-*'
    mv "$dir"/boot/vmlinuz-* "$dir/vmlinuz"
    rm -rf "$dir"/linux-image-*.deb "$dir/boot"
fi

# The guest's files: the programs, their libraries, a shell, and init.
root=$dir/root
rm -rf "$root" "$dir/iso"
mkdir -p "$root/bin" "$root/test/golden" "$root/test/law" "$dir/iso/isolinux"
strip -o "$root/samsvar" "$b/samsvar"
strip -o "$root/test/law/train_short" "$b/test/law/train_short"
cp /bin/dash "$root/bin/sh"
cp test/golden/bits.txt "$root/test/golden/"
for file in "$root/samsvar" "$root/test/law/train_short" "$root/bin/sh"; do
    ldd "$file" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p'
done | sort -u | while read -r lib; do
    mkdir -p "$root$(dirname "$lib")"
    cp -L "$lib" "$root$lib"
done
cat >"$root/init" <<'EOF'
#!/bin/sh
cd /
echo "guest: chips"
/samsvar chip list && /samsvar chip info cpu:avx512 --threads 1 &&
    /test/law/train_short cpu:avx512 && /samsvar chip test cpu:avx512 --quick --threads 1 && echo "guest: passed"
echo "guest: end"
while :; do :; done # an init that ends is a panic, which cuts the console off
EOF
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$dir/iso/initrd"

# Bochs 2.7's icelake lacks the size of PKRU in CPUID, so the kernel would turn XSAVE off: without PKU, XSAVEC and XSAVES it does
# not. FSRM without ERMS (which Bochs's MISC_ENABLE turns off) is a case that the kernel's memmove does not know.
cp "$dir/vmlinuz" "$dir/iso/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$dir/iso/isolinux/"
cat >"$dir/iso/isolinux/isolinux.cfg" <<'EOF'
default guest
prompt 0
label guest
  kernel /vmlinuz
  initrd /initrd
  append console=ttyS0 quiet panic=-1 mitigations=off nokaslr clearcpuid=515,321,323,580
EOF
xorriso -as mkisofs -quiet -o "$dir/boot.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 \
    -boot-info-table "$dir/iso" 2>/dev/null
cat >"$dir/bochsrc" <<'EOF'
display_library: term
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=corei7_icelake_u, ips=50000000, reset_on_triple_fault=0
megs: 512
ata0-master: type=cdrom, path=boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=serial.log
log: bochs.log
panic: action=fatal
EOF
echo c >"$dir/bochs.rc"

# Debian's Bochs stops in its debugger first (bochs.rc goes on) and wants a terminal (script makes one). Its screen is a second
# terminal, which must be read or Bochs stands still.
cd "$dir"
rm -f serial.log screen.log pid
: >serial.log
TERM=linux SHELL=/bin/sh script -qfc 'echo $$ >pid; exec bochs-bin -q -rc bochs.rc -f bochsrc' screen.log </dev/null >/dev/null 2>&1 &
drain=""
stop() {
    [ ! -s pid ] || kill -9 "$(cat pid)" 2>/dev/null || true
    [ -z "$drain" ] || kill "$drain" 2>/dev/null || true
}
trap stop EXIT
trap 'exit 130' INT TERM
begin=$(date +%s)
shown=0
while :; do
    sleep 2
    screen=$(sed -n 's/.*connected to screen "\([^"]*\)".*/\1/p' screen.log 2>/dev/null | head -1)
    if [ -z "$drain" ] && [ -n "$screen" ]; then
        (stty raw -echo <"$screen" && exec cat "$screen" >/dev/null) &
        drain=$!
    fi
    lines=$(wc -l <serial.log)
    [ "$lines" -le "$shown" ] || sed -n "$((shown + 1)),${lines}p" serial.log | tr -d '\r'
    shown=$lines
    ! grep -q '^guest: end\|Kernel panic' serial.log || break
    if [ -s pid ] && ! kill -0 "$(cat pid)" 2>/dev/null; then
        echo "emulate: Bochs ended early; its last words are in $dir/bochs.log and $dir/screen.log"
        exit 1
    fi
    if [ $(($(date +%s) - begin)) -gt "$seconds" ]; then
        echo "emulate: no end after $seconds s; the guest's lines are in $dir/serial.log"
        exit 1
    fi
done
grep -q '^guest: passed' serial.log || { echo "emulate: failed; the guest's lines are in $dir/serial.log"; exit 1; }
echo "emulate: passed: AVX-512 as true instructions under $(bochs-bin --help 2>&1 | sed -n 's/.*\(Bochs\) x86 Emulator \([0-9.]*\).*/\1 \2/p' | head -1), $(($(date +%s) - begin)) s"
