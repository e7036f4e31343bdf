"""Settings of servers and package sources: as distributions ship them, and as intruders write them around a
reader of lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from hostguardd.investigate.files import atstart, options
from hostguardd.investigate.files.deeds import deeds
from hostguardd.investigate.files.entries import crontab, script, ssh, udev, unit
from hostguardd.investigate.files.lines import Option
from hostguardd.investigate.files.loaded import name_services, sudo_plugins
from hostguardd.investigate.files.running import LARGEST
from hostguardd.investigate.files.servers import php, web
from hostguardd.investigate.files.sudoers import sudoers
from hostguardd.investigate.files.vouching import apt, authorities, dnf, doas, recording, unwritten
from hostguardd.investigate.interface import Verdict

Look = Callable[[bytes], Iterator[Option]]

STOCK: list[tuple[Look, bytes]] = [
    (web, b"""user nginx;
worker_processes auto;
error_log /var/log/nginx/error.log notice;
pid /run/nginx.pid;
# Load dynamic modules. See /usr/share/doc/nginx/README.dynamic.
include /usr/share/nginx/modules/*.conf;
events {
    worker_connections 1024;
}
http {
    log_format  main  '$remote_addr - $remote_user [$time_local] "$request" '
                      '$status $body_bytes_sent "$http_referer" '
                      '"$http_user_agent" "$http_x_forwarded_for"';
    access_log  /var/log/nginx/access.log  main;
    include             /etc/nginx/mime.types;
    include /etc/nginx/conf.d/*.conf;
    server {
        listen       80;
        root         /usr/share/nginx/html;
        include /etc/nginx/default.d/*.conf;
        location ~ \\.php$ {
            fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
            include fastcgi_params;
            fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
        }
        ssl_certificate "/etc/letsencrypt/live/x/fullchain.pem"; # managed by Certbot
        include /etc/letsencrypt/options-ssl-nginx.conf;
    }
}
"""),
    (web, b"load_module modules/ngx_http_image_filter_module.so;\n"),
    (web, b'load_module "/usr/lib64/nginx/modules/ngx_http_perl_module.so";\n'),
    (web, b"types {\n    text/html   html htm shtml;\n    image/svg+xml  svg svgz;\n"
     b"    application/java-archive  jar war ear;\n}\n"),
    (web, b'ServerRoot "/etc/httpd"\nListen 80\nInclude conf.modules.d/*.conf\nUser apache\n'
     b'<Directory />\n    AllowOverride none\n</Directory>\n<Files ".ht*">\n  Require all denied\n</Files>\n'
     b'ErrorLog "logs/error_log"\n<IfModule log_config_module>\n    CustomLog "logs/access_log" combined\n'
     b'</IfModule>\n<IfModule mime_module>\n    TypesConfig /etc/mime.types\n'
     b'    AddType application/x-compress .Z\n    AddType text/html .shtml\n'
     b'    AddOutputFilter INCLUDES .shtml\n</IfModule>\nIncludeOptional conf.d/*.conf\n'),
    (web, b"LoadModule proxy_fcgi_module modules/mod_proxy_fcgi.so\nLoadModule lua_module modules/lua.so\n"),
    (web, b"# Depends: mime\nLoadModule php_module /usr/lib/apache2/modules/libphp8.2.so\n"
     b"LoadFile libxml2.so.2\n"),
    (web, b'<FilesMatch ".+\\.ph(?:ar|p|tml)$">\n    SetHandler application/x-httpd-php\n</FilesMatch>\n'
     b'<FilesMatch ".+\\.phps$">\n    SetHandler application/x-httpd-php-source\n'
     b'    Require all denied\n</FilesMatch>\n'),
    (web, b'<FilesMatch \\.(php|phar)$>\n    SetHandler "proxy:unix:/run/php-fpm/www.sock|fcgi://localhost"\n'
     b"</FilesMatch>\nAddType text/html .php\nDirectoryIndex index.php\n"
     b'php_value session.save_handler "files"\nphp_value session.save_path    "/var/lib/php/session"\n'),
    (web, b"Listen 443 https\nSSLPassPhraseDialog exec:/usr/libexec/httpd-ssl-pass-dialog\n"
     b"SSLSessionCache         shmcb:/run/httpd/sslcache(512000)\nErrorLog logs/ssl_error_log\n"
     b'<FilesMatch "\\.(cgi|shtml|phtml|php)$">\n    SSLOptions +StdEnvVars\n</FilesMatch>\n'
     b'CustomLog logs/ssl_request_log \\\n          "%t %h %{SSL_PROTOCOL}x %{SSL_CIPHER}x \\"%r\\" %b"\n'),
    (web, b"SSLPassPhraseDialog  exec:/usr/share/apache2/ask-for-passphrase\n"
     b"IncludeOptional mods-enabled/*.load\nInclude ports.conf\nIncludeOptional /etc/phpmyadmin/apache.conf\n"
     b"CustomLog ${APACHE_LOG_DIR}/access.log combined\nErrorLog ${APACHE_LOG_DIR}/error.log\n"
     b'CustomLog "|/usr/bin/rotatelogs -l /var/log/x.%Y-%m-%d 86400" combined env=!dontlog\n'),
    (web, b"# BEGIN WordPress\n<IfModule mod_rewrite.c>\nRewriteEngine On\n"
     b"RewriteRule .* - [E=HTTP_AUTHORIZATION:%{HTTP:Authorization}]\nRewriteRule ^index\\.php$ - [L]\n"
     b"RewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule . /index.php [L]\n</IfModule>\n"
     b"AddHandler application/x-httpd-ea-php81 .php .php8 .phtml\n"
     b"AddType image/svg+xml svg svgz\nAddHandler cgi-script .cgi .pl\n"),
    (php, b"[PHP]\nengine = On\n;auto_prepend_file = /x\nauto_prepend_file =\nauto_append_file =\n"
     b"auto_prepend_file = none\nallow_url_fopen = On\nallow_url_include = Off\n; extension_dir = \"./\"\n"
     b"; extension_dir = \"ext\"\n;extension=bz2\nextension=curl.so\nzend_extension=opcache.so\n"
     b"[mail function]\nSMTP = localhost\nsmtp_port = 25\n; For Unix only.\n;sendmail_path =\n"
     b"sendmail_path = /usr/sbin/sendmail -t -i\nmail.add_x_header = Off\n"),
    (php, b"[www]\nuser = www-data\nlisten = /run/php/php8.2-fpm.sock\n;env[PATH] = /usr/local/bin:/usr/bin\n"
     b"env[TMP] = /tmp\n;php_admin_value[sendmail_path] = /usr/sbin/sendmail -t -i -f www@my.domain.com\n"
     b"php_admin_value[error_log] = /var/log/php-fpm/www-error.log\n"
     b"php_value[soap.wsdl_cache_dir]  = /var/lib/php/wsdlcache\n"
     b";php_value[opcache.file_cache]  = /var/lib/php/opcache\ninclude=/etc/php-fpm.d/*.conf\n"),
    (php, b"zend_extension = /usr/lib/php/20220829/xdebug.so\n"),
    (name_services, b"passwd:   files sss systemd\nshadow:     files\ngroup:      files [SUCCESS=merge] sss "
     b"[SUCCESS=merge] systemd\nhosts:      files myhostname mdns4_minimal [NOTFOUND=return] resolve "
     b"[!UNAVAIL=return] dns\nautomount:  files sss\nsudoers:    files sss\nsubid:      files\n"
     b"gshadow:        files systemd\nnetgroup:       nis\nethers:         db files\n"),
    (sudo_plugins, b"Plugin sudoers_policy sudoers.so\nPlugin sudoers_io sudoers.so\n"
     b"Plugin sudoers_audit sudoers.so\nPath askpass /usr/bin/ssh-askpass\n"
     b"Path noexec /usr/libexec/sudo/sudo_noexec.so\nSet disable_coredump false\n"),
    (apt, b"// APT::Get::AllowUnauthenticated \"true\";\n/* Acquire {\n https { Verify-Peer \"false\"; };\n"
     b"};\n */\n"
     b"//\tAcquire::AllowInsecureRepositories \"true\";\nUnattended-Upgrade::Allowed-Origins {\n"
     b'\t"${distro_id}:${distro_codename}-security";\n};\nAPT::NeverAutoRemove { "^firmware-linux.*"; };\n'),
    (apt, b"# deb [trusted=yes] cdrom:[Debian GNU/Linux 12.5.0 _Bookworm_]/ bookworm main\n"
     b"deb [arch=amd64 signed-by=/usr/share/x.gpg] https://download.docker.com/linux/debian x stable\n"),
    (apt, b"Types: deb deb-src\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\n"
     b"Components: main\nTrusted: no\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"),
    (dnf, b"[main]\ngpgcheck=1\ninstallonly_limit=3\nclean_requirements_on_remove=True\nbest=True\n"
     b"skip_if_unavailable=False\n"),
    (dnf, b"[fedora]\nname=Fedora $releasever - $basearch\ncountme=1\nmetadata_expire=7d\nrepo_gpgcheck=0\n"
     b"type=rpm\ngpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-fedora-$releasever-$basearch\n"
     b"reposdir=/etc/yum.repos.d\npluginpath=/usr/lib/python3/site-packages/dnf-plugins\n"),
    (authorities, b"This directory /etc/pki/ca-trust/source/ contains CA certificates and trust settings\n"),
    (recording, b"## This set of rules is to suppress the performance effects of the\n## audit system.\n-D\n"
     b"## This suppresses syscall auditing for all tasks started\n-a task,never\n"),
    (recording, b"## First rule - delete all\n-D\n-b 8192\n--backlog_wait_time 60000\n-f 1\n#-e 2\n"
     b"-a never,exit -F arch=b64 -S adjtimex -F auid=unset -F uid=chrony -F subj_type=chronyd_t\n"),
    (unwritten, b"local_events = yes\nwrite_logs = yes\nlog_file = /var/log/audit/audit.log\n"),
    (doas, b"permit persist :wheel\npermit setenv { PATH nopassword } bob\n"),
    (options.sshd, b"Include /etc/ssh/sshd_config.d/*.conf # ours\nUsePAM yes # as before\n"
     b"AuthorizedKeysFile\t.ssh/authorized_keys # \"two\" no\nSubsystem sftp internal-sftp # x\n"),
]  # fmt: skip


@pytest.mark.parametrize(("look", "text"), STOCK)
def test_what_distributions_ship_is_nothing_to_tell(look: Look, text: bytes) -> None:
    assert not [(one.shown, one.clause) for one in look(text) if one.verdict is not Verdict.FINE]


N, S = Verdict.NOTABLE, Verdict.SUSPICIOUS

ROUND: list[tuple[Look, bytes, Verdict]] = [
    (web, b"user root; load_module /tmp/x.so;", S),
    (web, b"load_module # the usual one\n  '/tmp/x.so';", S),
    (web, b"load_module modules/../../../dev/shm/x.so;", S),
    (web, b"events {} load_module /usr/lib/../../opt/x.so;", N),
    (web, b"log_format x 'a # b'; load_module /opt/x.so;", N),
    (web, b"fastcgi_param PHP_VALUE \"auto_prepend_file=/var/www/x.png\";", N),
    (web, b"fastcgi_param PHP_ADMIN_VALUE 'a=1\nextension=/tmp/x.so';", S),
    (web, b"include /var/www/x/nginx.conf;", N),
    (web, b"http { include /dev/shm/x.conf; }", S),
    (web, b"content_by_lua_block { local f = io.popen(ngx.var.arg_x) }", N),
    (web, b"LOADMODULE x ../../tmp/x.so", S),
    (web, b"LoadModule x \\\n \"/tmp/x.so\"", S),
    (web, b"LoadModule x /home/carol/venv/lib/python3/site-packages/mod_wsgi/x.so", N),
    (web, b"LoadFile modules/x.so /opt/x.so", N),
    (web, b"Include /tmp/x.conf", S),
    (web, b"CustomLog \"|/usr/sbin/rotatelogs -p /opt/x /var/log/x 86400\" common", N),
    (web, b"CustomLog \"|$/usr/sbin/rotatelogs /var/log/x 86400; /tmp/x\" common", S),
    (web, b"RewriteMap x \"prg:/tmp/x\"", S),
    (web, b"RewriteMap x prg:/opt/x", N),
    (web, b"php_value \"auto_prepend_file\" \"/x\"", N),
    (web, b"PHP_Value auto_prepend_file /x", N),
    (web, b"SetEnv PHP_VALUE \"auto_prepend_file = /x\"", N),
    (web, b"AddHandler php-script jpg", N),
    (web, b"<FilesMatch \"\\.jpg$\">\nSetHandler application/x-httpd-php\n</FilesMatch>", N),
    (php, b"extension=tmp/x.so", S),
    (php, b"extension=../../../tmp/x.so", S),
    (php, b"Extension = \"/opt/x.so\"", N),
    (php, b"sendmail_path=/tmp/x", S),
    (php, b"sendmail_path = \"/usr/sbin/sendmail -t -i; /usr/bin/x\"", N),
    (php, b"env[LD_PRELOAD] = /usr/lib/x.so", S),
    (sudo_plugins, b"plugin x /tmp/x.so", S),
    (sudo_plugins, b"Plugin x ../../../tmp/sudoers.so", S),
    (sudo_plugins, b"Plugin sudoers_policy sudoers.so sudoers_file=/var/lib/x", N),
    (apt, b"deb [trusted=YES] http://192.0.2.1 x y", N),
    (apt, b"deb [ arch=amd64 trusted=enable ] http://192.0.2.1 x y", N),
    (apt, b"Types: deb\nTrusted:\n yes\n", N),
    (apt, b"APT::Get::AllowUnauthenticated\n  \"true\";", N),
    (apt, b"Acquire::https::Verify-Host \"off\";", N),
    (dnf, b"pluginpath=/usr/lib/python3/site-packages/dnf-plugins,/tmp/x", S),
    (doas, b"permit setenv { A B C D E F G H I J K L } nopass bob", N),
    (doas, b"permit keepenv \\\n nopass bob", N),
    (recording, b"-A never,task -F auid=1000", N),
    (recording, b"-e0", N),
    (recording, b"-D\n-w /etc/passwd -p wa\n-a task,never", N),
    (unwritten, b"write_logs = no", N),
    (authorities, b"-----BEGIN X509 CERTIFICATE-----\n", N),
    (authorities, b"\x30\x82\x03\x4a\x30\x82\x02\x32", N),
    (options.sshd, b"PermitEmptyPasswords yes # as before", S),
    (options.sshd, b"\"PermitEmptyPasswords\" yes", S),
    (options.sshd, b"AcceptEnv LANG \\\nPermitEmptyPasswords yes", S),
    (name_services, b"ethers: db files\npasswd: files [NOTFOUND=continue] db", N),
    (options.pam, b"AUTH Sufficient pam_permit.so", S),
    (options.pam, b"sshd auth [ success = done default=ignore ] pam_permit.so", S),
    (sudoers, b"#1000 ALL=(ALL) NOPASSWD: ALL", N),
    (sudoers, b"Defaults group_plugin=\"/tmp/x.so\"", S),
    (options.hosts, b"192.0.2.1 Security.Debian.ORG", S),
    (options.aliases, b"x:\n  \"|/opt/x\"", N),
    (options.sysctl, b"kernel.core_patter?=|/opt/x", N),
    (options.libraries, b"include /tmp/x/*.conf", S),
    (options.tmpfiles, b"f \"/etc/../etc/cron.d/x\" 0644 root root - * * * * * root /x", S),
    (name_services, b"passwd: files # \\\nhosts: files x", N),
    (options.pam, b"auth required pam_env.so # \\\nauth sufficient pam_permit.so", S),
]  # fmt: skip


@pytest.mark.parametrize(("look", "text", "verdict"), ROUND)
def test_ways_round_a_reader_of_lines(look: Look, text: bytes, verdict: Verdict) -> None:
    (one,) = look(text)
    assert one.verdict is verdict
    if look not in (authorities, sudoers):  # of which a name is shown
        assert one.line == text.count(b"\n", 0, text.find(one.shown[:7])) + 1


def test_what_is_told_of_a_file_names_its_line() -> None:
    lines = [
        one.line for one in web(b"a b;\nload_module /opt/x.so;\n\ninclude\n /tmp/x;\nLoadModule a /opt/x\n")
    ]
    assert sorted(lines) == [2, 4, 6]


@pytest.mark.parametrize(
    "text",
    [b"0 5 * * * root true \\\n* * * * * root /tmp/x\n", b"MAILTO=root \\\n* * * * * root /tmp/x\n"],
)
def test_to_cron_a_backslash_hides_no_line(text: bytes) -> None:
    entries = list(crontab(text))
    assert (entries[-1].line, entries[-1].command) == (2, b"/tmp/x")


def test_to_systemd_a_note_ends_no_line() -> None:
    (entry,) = unit(b"[Service]\nExecStart=\\\n# x\n; y\n/tmp/x\n")
    assert (entry.line, entry.command) == (2, b"/tmp/x")


def test_a_rule_of_udev_with_escapes() -> None:
    (entry,) = udev(b'ACTION=="add", RUN+=e"/tmp/x"\n')
    assert entry.command == b"/tmp/x"


def test_to_ssh_a_backslash_hides_no_line() -> None:
    (entry,) = ssh(b"SendEnv LANG \\\nProxyCommand /tmp/x\n")
    assert entry.command == b"/tmp/x"


def test_behind_a_note_a_shell_begins_anew() -> None:
    (entry,) = script(b"true # \\\n/tmp/x &\n")
    assert [deed.clause for deed in deeds(entry.command)] == [
        "runs something from a folder for temporary files"
    ]


CERTIFICATE = b"""# of ours
-----BEGIN CERTIFICATE-----
MIIBtjCCAV2gAwIBAgIUJakarsoIBlZM6rgGd3NKirVVpgQwCgYIKoZIzj0EAwIw
MTEUMBIGA1UECgwLRXhhbXBsZSBMYWIxGTAXBgNVBAMMEEV4YW1wbGUgTGFiIFJv
b3QwHhcNMjYxMTI2MTczNDQ5WhcNMjYxMjI2MTczNDQ5WjAxMRQwEgYDVQQKDAtF
eGFtcGxlIExhYjEZMBcGA1UEAwwQRXhhbXBsZSBMYWIgUm9vdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABB4TI9vpYNpKvwosH14Y6LvBzohX2MPGrfeKFLrHQftR
gBv4nm+QF5iECT8DJjeF5s/wbkPk5iw31p8bp6wDIYOjUzBRMB0GA1UdDgQWBBTi
jkHyBOhDeTLq+M/4aRRnGKlmhzAfBgNVHSMEGDAWgBTijkHyBOhDeTLq+M/4aRRn
GKlmhzAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIDE3ZHUoAvJM
7km6Qi7ptqXrUXxV61XL2yAClUrXV36+AiB9Nf8cV9Jzh03jsklRl2196Yrp07wG
HF9d+t3n1IoT0Q==
-----END CERTIFICATE-----
"""


def test_a_certificate_is_told_by_its_names() -> None:
    (one,) = authorities(CERTIFICATE)
    assert (one.line, one.shown) == (2, b"a certificate of Example Lab, Example Lab Root")
    (two,) = authorities(CERTIFICATE * 3)
    assert two.clause.endswith("and so are 2 other certificates in this file")
    (bare,) = authorities(b"\x30\x82\x03\x00" + b"\x06\x03\x55\x04\x03\x0c\x03\x1b[m")
    assert bare.shown == b"a certificate of nobody who is named in it"


@pytest.mark.parametrize("atom", [b"#", b"# \\ ", b'"', b"a ", b"\\", b"[", b"/*", b"{", b"#os.execute\n"])
@pytest.mark.parametrize("look", [web, php, apt, doas, options.sshd, options.pam, atstart.commands])
def test_no_text_holds_the_one_who_reads_it(look: Look, atom: bytes) -> None:
    began = time.process_time()
    assert not list(look(atom * (LARGEST // 4 // len(atom))))
    assert time.process_time() - began < 5
